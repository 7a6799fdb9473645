//! Fake worms written in the raw layout of each laboratory.

use std::fmt::Write as _;
use std::path::Path;

use ndarray::Array2;
use nissl_core::archive::ArchiveWriter;
use nissl_core::store::write_bytes;
use nissl_core::{Error, Result};
use nissl_record::files::{Layout, Value, write};
use nissl_record::worm::{Dataset, slot};

use super::fake::{FakeWorm, SAMPLES};

/// Writes the worms of a data set into `folder`, in the order in which an importer finds them.
pub(super) fn write_all(dataset: Dataset, worms: &[FakeWorm], folder: &Path) -> Result<()> {
    match dataset {
        Dataset::Kato2015
        | Dataset::Nichols2017
        | Dataset::Skora2018
        | Dataset::Kaplan2020
        | Dataset::Uzel2022 => structs(dataset, worms, folder),
        Dataset::Yemini2021 => yemini(worms, folder),
        _ => {
            if dataset == Dataset::Dag2023 {
                dag_labels(worms, folder)?;
            }
            worms.iter().enumerate().try_for_each(|(number, worm)| match dataset {
                Dataset::Nejatbakhsh2020 => {
                    nejatbakhsh(worm, &folder.join(format!("{number}.nwb")))
                }
                Dataset::Dag2023 => dag(worm, &folder.join(format!("day-{number}-data.h5"))),
                Dataset::Leifer2023 => leifer(worm, folder, number),
                Dataset::Lin2023 => lin(worm, &folder.join(format!("{number}.mat"))),
                Dataset::Flavell2023 => flavell(worm, folder, number),
                _ => venkatachalam(worm, folder, number),
            })
        }
    }
}

fn by_time(worm: &FakeWorm) -> Value {
    Value::of_matrix(&worm.dirty.t().as_standard_layout().to_owned())
}

fn label(raw: Option<&String>) -> Value {
    // Every other name stands in a list of candidates, of which the first is none.
    match raw {
        None => Value::row(Vec::new()),
        Some(name) if name.len() % 2 == 0 => Value::Text(name.clone()),
        Some(name) => Value::List(vec![Value::row(Vec::new()), Value::Text(name.clone())]),
    }
}

fn structs(dataset: Dataset, worms: &[FakeWorm], folder: &Path) -> Result<()> {
    let (variables, fields, layout): (&[&str], [&str; 3], Layout) = match dataset {
        Dataset::Kato2015 => {
            (&["WT_NoStim", "WT_Stim"], ["IDs", "traces", "timeVectorSeconds"], Layout::Matlab73)
        }
        Dataset::Nichols2017 => (
            &["n2_let", "n2_prelet", "npr1_let", "npr1_prelet"],
            ["IDs", "traces", "timeVectorSeconds"],
            Layout::Matlab5,
        ),
        Dataset::Skora2018 => {
            (&["WT_fasted", "WT_starved"], ["IDs", "traces", "timeVectorSeconds"], Layout::Matlab5)
        }
        Dataset::Kaplan2020 => (
            &["MNhisCl_RIShisCl", "RIShisCl", "SMDhisCl_RIShisCl"],
            ["neuron_ID", "traces_bleach_corrected", "time_vector"],
            Layout::Matlab73,
        ),
        _ => (&["Uzel_WT"], ["IDs", "traces", "tv"], Layout::Matlab5),
    };
    let share = worms.len().div_ceil(variables.len());
    for (variable, worms) in variables.iter().zip(worms.chunks(share)) {
        let list = |of: &dyn Fn(&FakeWorm) -> Value| Value::List(worms.iter().map(of).collect());
        let names = |worm: &FakeWorm| {
            Value::List(worm.columns.iter().map(|column| label(column.raw.as_ref())).collect())
        };
        let tree = Value::map([
            (fields[0], list(&names)),
            (fields[1], list(&by_time)),
            (fields[2], list(&|worm: &FakeWorm| Value::row(worm.time.clone()))),
        ]);
        write(&folder.join(format!("{variable}.mat")), &Value::map([(*variable, tree)]), layout)?;
    }
    Ok(())
}

fn nejatbakhsh(worm: &FakeWorm, path: &Path) -> Result<()> {
    let names = worm.columns.iter().map(|column| column.raw.as_deref().unwrap_or(""));
    let series = Value::map([("data", by_time(worm))]);
    let activity = Value::map([
        ("SignalRawFluor", Value::map([("SignalCalciumImResponseSeries", series)])),
        ("NeuronIDs", Value::map([("labels", Value::texts(names))])),
    ]);
    let tree = Value::map([("processing", Value::map([("CalciumActivity", activity)]))]);
    write(path, &tree, Layout::Hdf5)
}

fn yemini(worms: &[FakeWorm], folder: &Path) -> Result<()> {
    // Classes of all worms, each with its sides.
    let mut classes: Vec<(String, bool)> = Vec::new();
    let class_of = |name: &str| -> (String, bool) {
        let stem = name.strip_suffix(['L', 'R']).unwrap_or("");
        let paired = !stem.is_empty()
            && slot(&format!("{stem}L")).is_some()
            && slot(&format!("{stem}R")).is_some();
        if paired { (stem.to_owned(), true) } else { (name.to_owned(), false) }
    };
    for column in worms.iter().flat_map(|worm| &worm.columns) {
        let class = class_of(&column.truth);
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    let trace = |worm: &FakeWorm, name: &str| -> Value {
        let Some(at) = worm.columns.iter().position(|column| column.truth == name) else {
            return Value::row(Vec::new());
        };
        // Four samples stand before those that are used.
        let row = worm.dirty.row(at);
        Value::row([9.0; 4].into_iter().chain(row.iter().copied()).collect())
    };
    let (mut sides, mut traces) = (Vec::new(), Vec::new());
    for (class, paired) in &classes {
        let ends: &[&str] = if *paired { &["L", "R"] } else { &[""] };
        let names: Vec<String> = ends.iter().map(|end| format!("{class}{end}")).collect();
        traces.push(Value::List(
            names.iter().flat_map(|name| worms.iter().map(|worm| trace(worm, name))).collect(),
        ));
        let side = |end: &&str| match *end {
            "L" => 1.0,
            "R" => 0.0,
            _ => f64::NAN,
        };
        let of_all = ends.iter().flat_map(|end| std::iter::repeat_n(side(end), worms.len()));
        sides.push(Value::row(of_all.collect()));
    }
    let files: Vec<String> = (0..worms.len()).map(|at| format!("worm {at}")).collect();
    let tree = Value::map([
        ("fps", Value::number(4.0)),
        ("files", Value::texts(files.iter().map(String::as_str))),
        ("neurons", Value::texts(classes.iter().map(|(class, _)| class.as_str()))),
        ("is_L", Value::List(sides)),
        ("norm_traces", Value::List(traces)),
    ]);
    write(&folder.join("Head_Activity_OH16230.mat"), &tree, Layout::Matlab5)
}

/// `{"1": {"label": …}, …}` of the columns that have a name.
fn numbered(worm: &FakeWorm) -> Value {
    let entries = worm.columns.iter().enumerate().filter_map(|(at, column)| {
        let label = Value::map([("label", Value::Text(column.raw.clone()?))]);
        Some(((at + 1).to_string(), label))
    });
    Value::Map(entries.collect())
}

fn dag_labels(worms: &[FakeWorm], folder: &Path) -> Result<()> {
    let entries = worms.iter().enumerate();
    let all = entries.map(|(number, worm)| (format!("day-{number}-data"), numbered(worm)));
    let path = folder.join("NeuroPAL_labels_dict.json");
    write(&path, &Value::Map(all.collect()), Layout::Json)
}

fn dag(worm: &FakeWorm, path: &Path) -> Result<()> {
    let tree = Value::map([
        ("gcamp", Value::map([("traces_array_F_F20", by_time(worm))])),
        ("timing", Value::map([("timestamp_confocal", Value::row(worm.time.clone()))])),
    ]);
    write(path, &tree, Layout::Hdf5)
}

fn flavell(worm: &FakeWorm, folder: &Path, number: usize) -> Result<()> {
    let tree = Value::map([
        ("timestamp_confocal", Value::row(worm.time.clone())),
        ("trace_array", Value::of_matrix(&worm.dirty)),
        ("labeled", numbered(worm)),
        ("velocity", Value::row(worm.time.iter().map(|time| time.sin()).collect())),
    ]);
    if number.is_multiple_of(2) {
        write(&folder.join(format!("{number}.json")), &tree, Layout::Json)
    } else {
        write(&folder.join(format!("{number}.h5")), &tree, Layout::Hdf5)
    }
}

fn text_failed(error: std::fmt::Error) -> Error {
    Error::setting("text", error, "memory for it")
}

fn leifer(worm: &FakeWorm, folder: &Path, number: usize) -> Result<()> {
    let mut lines = String::new();
    for column in worm.dirty.columns() {
        let values: Vec<String> = column.iter().map(ToString::to_string).collect();
        writeln!(lines, "{}", values.join(" ")).map_err(text_failed)?;
    }
    write_bytes(&folder.join(format!("{number}_gcamp.txt")), lines.as_bytes())?;
    let times: Vec<String> = worm.time.iter().map(ToString::to_string).collect();
    write_bytes(&folder.join(format!("{number}_t.txt")), times.join("\n").as_bytes())?;
    let names = worm.columns.iter().map(|column| column.raw.as_deref().unwrap_or(""));
    let names = names.collect::<Vec<_>>().join("\n") + "\nbeyond\n";
    write_bytes(&folder.join(format!("{number}_labels.txt")), names.as_bytes())
}

fn lin(worm: &FakeWorm, path: &Path) -> Result<()> {
    // A neuron that is not in use stands before the others.
    let (count, samples) = worm.dirty.dim();
    let mut traces = Array2::zeros((count + 1, samples));
    traces.slice_mut(ndarray::s![1.., ..]).assign(&worm.dirty);
    let first: Vec<f64> = traces.column(0).to_vec();
    traces.column_mut(0).fill(-5.0);
    let names = worm.columns.iter().map(|column| column.raw.as_deref().unwrap_or(""));
    let flags = std::iter::once(0.0).chain(std::iter::repeat_n(1.0, count)).collect();
    let times = Value::map([
        ("file", Value::Text("t".to_owned())),
        ("times", Value::row(worm.time.clone())),
    ]);
    let tree = Value::map([
        ("use_flag", Value::row(flags)),
        ("proofread_neurons", Value::texts(std::iter::once("VD9").chain(names))),
        ("corrected_F", Value::of_matrix(&traces)),
        ("F_0", Value::row(first)),
        ("times", times),
    ]);
    write(path, &tree, Layout::Matlab5)
}

fn venkatachalam(worm: &FakeWorm, folder: &Path, number: usize) -> Result<()> {
    let line = |before: String, samples: Vec<String>| {
        format!("{before}{},{}\n", ",".repeat(98), samples.join(","))
    };
    let heads = (0..SAMPLES).map(|frame| frame.to_string()).collect();
    let mut table = line("a,neuron,c,d,e,f,g,h,i".to_owned(), heads);
    for (column, trace) in worm.columns.iter().zip(worm.dirty.rows()) {
        let field = |value: &f64| if value.is_nan() { String::new() } else { value.to_string() };
        let name = column.raw.as_deref().unwrap_or("");
        table += &line(format!("1,{name},,,,,,,"), trace.iter().map(field).collect());
    }
    if number.is_multiple_of(2) {
        let path = folder.join(format!("{number}.zip"));
        let mut archive = ArchiveWriter::create(&path)?;
        archive.member("worm.csv", &[table.as_bytes()])?;
        return archive.finish();
    }
    write_bytes(&folder.join(format!("{number}.csv")), table.as_bytes())
}
