//! What is refused, and what damage does.

use nissl_core::store::write_bytes;

use super::tests::{complaint, file, folder, read, workbook};
use super::*;

#[test]
fn bad_files_are_refused_by_place_and_expectation() {
    let folder = folder();
    let refused = |name: &str, text: &str, parts: &[&str]| {
        let said = complaint(&file(&folder, name, text));
        for part in parts {
            assert!(said.contains(part), "{name}: misses {part:?} in {said}");
        }
    };
    let head = "pre,post,type,synapses\n";
    let row = |row: &str| format!("{head}AVAL,AVAR,chemical,1\n{row}\n");
    refused(
        "a.csv",
        &row("AVAL,AVAR,chemical,-3"),
        &["a.csv", "synapses", "-3 in row 3", "at least 0"],
    );
    refused("b.csv", &row("AVAL,AVAR,chemical,NaN"), &["synapses", "`NaN` in row 3", "a number"]);
    refused("c.csv", &row("AVAL,AVAR,chemical,"), &["synapses", "empty in row 3"]);
    refused(
        "d.csv",
        &row("AVAL,AVAR,mechanical,1"),
        &["type", "`mechanical` in row 3", "electrical"],
    );
    refused("e.csv", &row("AVAL,,chemical,1"), &["post", "empty in row 3"]);
    refused(
        "f.csv",
        "Neuron 1,Neuron 2,Type,Nbr\nAVAL,AVAR,Q,1\n",
        &["Type", "`Q` in row 2", "Sp"],
    );
    refused(
        "g.csv",
        &row("QQQ,RRR,chemical,1\nQQQ,SSS,chemical,2"),
        &["names", "QQQ, RRR", "2 of 3"],
    );
    refused("h.csv", "a,b,c\n1,2,3\n", &["header", "a, b, c", "pre, post, type, synapses"]);
    refused("i.csv", "", &["empty"]);
    refused("j.csv", head, &["empty", "connections between neurons"]);
    refused("k.csv", "<!DOCTYPE html><html></html>", &["a web page", "fetch it again"]);
    refused("l.xlsx", "PK\u{3}\u{4}nothing", &["content", "a readable .xlsx or .xls"]);
    refused(
        "m.json",
        r#"[{"pre":"AVAL","post":"AVAR","syn":[1],"typ":1}]"#,
        &["typ", "1 in connection 0"],
    );
    refused("n.json", r#"{"pre":1}"#, &["a list of {pre, post, syn, typ}"]);
    refused("o.json", r#"[{"pre":"AVAL","post":"AVAR","syn":[-1],"typ":0}]"#, &["syn", "-1"]);
    refused("p.xml", "<svg></svg>", &["<graphml> or <neuroml>"]);
    refused(
        "q.xml",
        "<graphml><graph><node id=\"a\"></graph></graphml>",
        &["content", "well-formed XML"],
    );
    refused("r.xml", "<graphml><graph><node id=\"AVAL\"/>", &["ends within an element"]);
    let lost =
        "<graphml><graph><node id=\"AVAL\"/><edge source=\"AVAL\" target=\"x\"/></graph></graphml>";
    refused("s.xml", lost, &["target", "`x` in edge 0"]);

    let varshney = file(&folder, "t.csv", "Neuron 1,Neuron 2,Type,Nbr\nAVAL,AVAR,S,1\n");
    let settings = ImportConnectome { source: Source::Cook2019, ..ImportConnectome::default() };
    let error = settings.read(&[&varshney]).expect_err("is refused");
    assert!(format!("{error:?}").contains("--source cook_2019"), "{error:?}");
}

#[test]
fn cut_files_give_errors_not_panics() {
    let folder = folder();
    let path = folder.path().join("whole.xlsx");
    let cells: &[&[&str]] =
        &[&["pre", "post", "type", "synapses"], &["AVAL", "AVAR", "chemical", "2"]];
    workbook(&path, &[("one", cells)]);
    assert_eq!(read(&path).graph.edges().rows(), 1);
    let bytes = std::fs::read(&path).expect("reads");
    let cut = folder.path().join("cut.xlsx");
    for length in (0..bytes.len()).step_by(37) {
        write_bytes(&cut, &bytes[..length]).expect("writes");
        assert!(ImportConnectome::default().read(&[&cut]).is_err(), "{length} bytes");
    }
}

#[test]
fn changed_bytes_of_workbooks_give_errors_or_tables_not_panics() {
    use rand::RngExt;
    let folder = folder();
    let path = folder.path().join("whole.xlsx");
    let cells: &[&[&str]] =
        &[&["pre", "post", "type", "synapses"], &["AVAL", "AVAR", "chemical", "2"]];
    workbook(&path, &[("one", cells)]);
    let mut files = vec![(path, 150)];
    files.extend(
        super::published::published().map(|folder| (folder.join("CElegansNeuronTables.xls"), 40)),
    );
    let mut rng = nissl_core::seed::rng(11, 0);
    let changed = folder.path().join("changed.xls");
    for (path, rounds) in files {
        let sound = std::fs::read(&path).expect("reads");
        for round in 0..rounds {
            let mut bytes = sound.clone();
            for _ in 0..=round % 4 {
                // Heads, directories and sizes stand at both ends.
                let near = rng.random_range(0..sound.len().min(2048));
                let place = match round % 3 {
                    0 => near,
                    1 => sound.len() - 1 - near,
                    _ => rng.random_range(0..sound.len()),
                };
                bytes[place] ^= rng.random_range(1..=255u8);
            }
            write_bytes(&changed, &bytes).expect("writes");
            let _any = ImportConnectome::default().read(&[&changed]);
        }
    }
}
