//! Small files in each form, and the rules of pooling.

#![expect(
    clippy::float_cmp,
    clippy::format_push_string,
    reason = "counts are whole numbers; small files are written as text"
)]

use std::path::{Path, PathBuf};

use nissl_core::archive::ArchiveWriter;
use nissl_core::store::write_bytes;
use tempfile::TempDir;

use super::*;

pub(super) fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    write_bytes(&path, text.as_bytes()).expect("writes");
    path
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

pub(super) fn read(path: &Path) -> Imported {
    ImportConnectome::default().read(&[path]).expect("reads")
}

pub(super) fn complaint(path: &Path) -> String {
    let error = ImportConnectome::default().read(&[path]).expect_err("is refused");
    format!("{error} {error:?}")
}

/// The weight of an edge; 0 where there is none.
pub(super) fn weight(graph: &Graph, from: &str, to: &str, kind: EdgeKind) -> f64 {
    let names = graph.nodes().texts("name").expect("names");
    let node = |name: &str| names.iter().position(|n| n == name).expect("a neuron") as u32;
    let kinds = graph.edges().texts("type").expect("types");
    let (from, to) = (node(from), node(to));
    graph
        .links()
        .zip(kinds)
        .find(|((s, t, _), k)| (*s, *t) == (from, to) && *k == kind.name())
        .map_or(0.0, |((_, _, weight), _)| weight)
}

/// A workbook of sheets whose cells are numbers or text.
pub(super) fn workbook(path: &Path, sheets: &[(&str, &[&[&str]])]) {
    let mut archive = ArchiveWriter::create(path).expect("begins");
    let (mut types, mut list, mut links) = (String::new(), String::new(), String::new());
    for (number, (name, _)) in sheets.iter().enumerate() {
        let id = number + 1;
        types += &format!(
            r#"<Override PartName="/xl/worksheets/s{id}.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>"#
        );
        list += &format!(r#"<sheet name="{name}" sheetId="{id}" r:id="r{id}"/>"#);
        links += &format!(
            r#"<Relationship Id="r{id}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/s{id}.xml"/>"#
        );
    }
    let mut put =
        |name: &str, text: String| archive.member(name, &[text.as_bytes()]).expect("writes");
    put(
        "[Content_Types].xml",
        format!(
            r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>{types}</Types>"#
        ),
    );
    put("_rels/.rels", r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#.to_owned());
    put(
        "xl/workbook.xml",
        format!(
            r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>{list}</sheets></workbook>"#
        ),
    );
    put(
        "xl/_rels/workbook.xml.rels",
        format!(
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{links}</Relationships>"#
        ),
    );
    for (number, (_, rows)) in sheets.iter().enumerate() {
        let mut data = String::new();
        for (row, cells) in rows.iter().enumerate() {
            data += &format!(r#"<row r="{}">"#, row + 1);
            for (column, cell) in cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
                let place = format!("{}{}", char::from(b'A' + column as u8), row + 1);
                data += &match cell.parse::<f64>() {
                    Ok(value) => format!(r#"<c r="{place}"><v>{value}</v></c>"#),
                    Err(_text) => {
                        format!(r#"<c r="{place}" t="inlineStr"><is><t>{cell}</t></is></c>"#)
                    }
                };
            }
            data += "</row>";
        }
        put(
            &format!("xl/worksheets/s{}.xml", number + 1),
            format!(
                r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{data}</sheetData></worksheet>"#
            ),
        );
    }
    archive.finish().expect("finishes");
}

const LIST: &str = "pre\tpost\ttype\tsynapses\nAVAL\tAVAR\telectrical\t2\nAVAR\tAVAL\telectrical\t4\n\
    AVAL\tAVAL\telectrical\t1\nAIBL\tRIML\tchemical\t3\nAIBL\tRIML\tchemical\t9\nAIBL\tpm4\tchemical\t5\n\
    VB01\tDB02\tchemical\t0\nVB01\tDB02\tchemical\t7\nAVAL\tCANL\tchemical\t1\n";

#[test]
fn gap_readings_are_pooled_and_chemical_duplicates_keep_the_first() {
    let folder = folder();
    let path = file(&folder, "white_1986_jsh.csv", LIST);
    let Imported { graph, report } = read(&path);
    assert_eq!(graph.nodes().rows(), 300);
    assert_eq!(weight(&graph, "AVAL", "AVAR", EdgeKind::Electrical), 3.0);
    assert_eq!(weight(&graph, "AVAR", "AVAL", EdgeKind::Electrical), 3.0);
    assert_eq!(weight(&graph, "AVAL", "AVAL", EdgeKind::Electrical), 1.0);
    assert_eq!(weight(&graph, "AIBL", "RIML", EdgeKind::Chemical), 3.0);
    assert_eq!(weight(&graph, "VB1", "DB2", EdgeKind::Chemical), 7.0);
    assert_eq!((report.identity.name.as_str(), report.gap_pairs), ("white_1986_jsh", 2));
    assert_eq!((report.readings, report.zeros, report.duplicates), (8, 1, 1));
    assert_eq!(report.edges[&EdgeKind::Electrical], EdgeCount { edges: 3, weight: 7.0 });
    assert_eq!((report.neurons, report.pairs), (6, 5));
    assert_eq!(report.skipped[&CellKind::Muscle], 1);
    assert_eq!(report.skipped[&CellKind::Can], 1);
    let [asymmetric] = report.asymmetric.as_slice() else { panic!("{:?}", report.asymmetric) };
    assert_eq!(
        (&asymmetric.forth, &asymmetric.back, asymmetric.taken),
        (&vec![2.0], &vec![4.0], 3.0)
    );

    let settings = ImportConnectome {
        symmetrise: Symmetrise::Sum,
        duplicates: Duplicates::Sum,
        ..ImportConnectome::default()
    };
    let summed = settings.read(&[&path]).expect("reads").graph;
    assert_eq!(weight(&summed, "AVAL", "AVAR", EdgeKind::Electrical), 6.0);
    assert_eq!(weight(&summed, "AIBL", "RIML", EdgeKind::Chemical), 12.0);
    let settings = ImportConnectome { symmetrise: Symmetrise::Max, ..settings };
    let largest = settings.read(&[&path]).expect("reads").graph;
    assert_eq!(weight(&largest, "AVAL", "AVAR", EdgeKind::Electrical), 4.0);
}

#[test]
fn sends_of_both_kinds_add_up_unless_the_reference_is_to_be_met() {
    let folder = folder();
    let text = "Neuron 1,Neuron 2,Type,Nbr\nADAL,AIBL,S,2\nADAL,AIBL,Sp,3\nAIBL,ADAL,R,2\n\
                AIBL,ADAL,Rp,3\nADAL,ADAR,EJ,1\nADAR,ADAL,EJ,1\nDB1,NMJ,NMJ,4\n";
    let path = file(&folder, "varshney.csv", text);
    let Imported { graph, report } = read(&path);
    assert_eq!(weight(&graph, "ADAL", "AIBL", EdgeKind::Chemical), 5.0);
    assert_eq!(weight(&graph, "AIBL", "ADAL", EdgeKind::Chemical), 0.0);
    assert_eq!((report.left_out, report.gap_pairs), (3, 1));
    assert!(report.asymmetric.is_empty());
    let settings = ImportConnectome { reference_quirks: true, ..ImportConnectome::default() };
    let found = settings.read(&[&path]).expect("reads");
    assert_eq!(weight(&found.graph, "ADAL", "AIBL", EdgeKind::Chemical), 3.0);
    assert_eq!(found.report.left_out, 4);
}

#[test]
fn matrices_are_read_from_the_fourth_row_and_column() {
    let folder = folder();
    let path = folder.path().join("SI 5.xlsx");
    let head: &[&str] = &["", "", "", "MOTOR"];
    let chemical: &[&[&str]] = &[
        head,
        &["note"],
        &["", "", "", "VB01", "AVAL", "pm1", "", "99"],
        &["", "x", "VB01", "", "4", "1"],
        &["", "", "AVAL", "6", "", "2", "", "7"],
        &["", "", "", "1", "1"],
    ];
    let gap: &[&[&str]] = &[
        head,
        &["note"],
        &["", "", "", "VB01", "AVAL"],
        &["", "", "VB01", "", "2"],
        &["", "", "AVAL", "5", "3"],
    ];
    let asymmetric: &[&[&str]] = &[&["wrong"]];
    let sheets = [
        ("hermaphrodite chemical", chemical),
        ("herm gap jn asymmetric", asymmetric),
        ("herm gap jn symmetric", gap),
    ];
    workbook(&path, &sheets);
    let Imported { graph, report } = read(&path);
    assert_eq!(report.identity.name, "cook_2019");
    assert_eq!(weight(&graph, "VB1", "AVAL", EdgeKind::Chemical), 4.0);
    assert_eq!(weight(&graph, "AVAL", "VB1", EdgeKind::Chemical), 6.0);
    assert_eq!(weight(&graph, "AVAL", "VB1", EdgeKind::Electrical), 3.5);
    assert_eq!(weight(&graph, "AVAL", "AVAL", EdgeKind::Electrical), 3.0);
    assert_eq!(report.asymmetric.len(), 1);
    let settings = ImportConnectome { reference_quirks: true, ..ImportConnectome::default() };
    let found = settings.read(&[&path]).expect("reads");
    assert_eq!(found.report.skipped[&CellKind::Padded], 5);
    assert_eq!(found.report.neurons, 1);

    workbook(&path, &sheets[..1]);
    assert!(complaint(&path).contains("gap jn symmetric"), "{}", complaint(&path));
}

#[test]
fn significant_amplitudes_become_functional_edges_from_row_to_column() {
    let folder = folder();
    let path = folder.path().join("funconn.xlsx");
    let amplitude: &[&[&str]] = &[
        &["", "AVAL", "AVAR", "AIBL"],
        &["AVAL", "0", "-0.5", "0.3"],
        &["AVAR", "0.2", "0", "nan"],
    ];
    let q: &[&[&str]] = &[
        &["", "AVAL", "AVAR", "AIBL"],
        &["AVAL", "0.001", "0.049", "0.05"],
        &["AVAR", "0.2", "0.001", "0.001"],
    ];
    workbook(&path, &[("dFF", amplitude), ("q", q)]);
    let Imported { graph, report } = read(&path);
    assert_eq!(graph.edges().rows(), 1);
    assert_eq!(weight(&graph, "AVAL", "AVAR", EdgeKind::Functional), -0.5);
    assert_eq!(report.identity.weight_kind, "amplitude");
    let settings = ImportConnectome { significance: 0.3, ..ImportConnectome::default() };
    let more = settings.read(&[&path]).expect("reads").graph;
    assert_eq!(more.edges().rows(), 3);
    assert_eq!(weight(&more, "AVAR", "AVAL", EdgeKind::Functional), 0.2);
    assert!(ImportConnectome { significance: 0.0, ..settings }.validate().is_err());

    workbook(&path, &[("dFF", amplitude), ("q", &q[..2])]);
    assert!(complaint(&path).contains("sheet `q`"), "{}", complaint(&path));
}

#[test]
fn json_xml_and_consensus_tables_give_the_same_connections() {
    let folder = folder();
    let json = r#"[{"pre":"AIBL","post":"RIML","syn":[2,1],"typ":0,"ids":["a","b"]},
        {"pre":"AVAL","post":"AVAR","syn":[2],"typ":2}]"#;
    let graphml = r#"<?xml version="1.0"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">
        <key id="d0" for="node" attr.name="name"/><key id="d1" for="edge" attr.name="weight"/>
        <key id="d2" for="edge" attr.name="type"/><graph edgedefault="directed">
        <node id="n0"><data key="d0">AIBL</data></node><node id="RIML"/><node id="AVAL"/><node id="AVAR"/>
        <edge source="n0" target="RIML"><data key="d1">3</data></edge>
        <edge source="AVAL" target="AVAR"><data key="d1">2</data><data key="d2">gap&#32;junction</data></edge>
        </graph></graphml>"#;
    let neuroml = r#"<neuroml xmlns="http://www.neuroml.org/schema/neuroml2"><network id="c">
        <projection id="p" presynapticPopulation="AIBL" postsynapticPopulation="RIML" synapse="s">
        <connectionWD id="0" preCellId="../AIBL/0/x" postCellId="../RIML/0/x" weight="2.5" delay="0ms"/>
        <connection id="1"/></projection>
        <electricalProjection id="e" presynapticPopulation="AVAL" postsynapticPopulation="AVAR">
        <electricalConnectionInstanceW id="0" weight="2"/></electricalProjection></network></neuroml>"#;
    let consensus = "from_neuron,to_neuron,from_pos,to_pos,from_type,to_type,mean_gap_weight,mean_chem_weight,\
        uncertainty,functional_weight,data_sources\n\
        AIBL,RIML,\"(0, 1, 2)\",\"(0, 1, 2)\",a,b,,3.0,,-0.25,\"['cook_2019']\"\n\
        AVAL,AVAR,,,,,2.0,,,,[]\nAVAR,AVAL,,,,,2.0,nan,,,[]\n";
    for (name, text, chemical) in [
        ("w.json", json, 3.0),
        ("g.graphml", graphml, 3.0),
        ("c.net.nml", neuroml, 3.5),
        ("consensus.csv", consensus, 3.0),
    ] {
        let Imported { graph, report } = read(&file(&folder, name, text));
        assert_eq!(weight(&graph, "AIBL", "RIML", EdgeKind::Chemical), chemical, "{name}");
        assert_eq!(weight(&graph, "AVAR", "AVAL", EdgeKind::Electrical), 2.0, "{name}");
        assert_eq!(report.gap_pairs, 1, "{name}");
        let functional = usize::from(name == "consensus.csv");
        assert_eq!(graph.edges().rows(), 3 + functional, "{name}");
    }
}

#[test]
fn what_is_written_as_graphml_is_read_again() {
    let folder = folder();
    let first = read(&file(&folder, "list.csv", LIST)).graph;
    let mut bytes = Vec::new();
    first.to_graphml(&mut bytes).expect("writes");
    let path = file(&folder, "back.graphml", &String::from_utf8(bytes).expect("UTF-8"));
    assert_eq!(read(&path).graph, first);
}

#[test]
fn several_files_are_parts_of_one_connectome() {
    let folder = folder();
    let chemical = file(&folder, "mine_chemical.csv", "pre,post,weight\nAVAL,AVAR,2\n");
    let gap = file(
        &folder,
        "mine_gap_symmetric.csv",
        "pre,post,weight\nAVAL,AVAR,3\nRIML,RIMR,1\nRIMR,RIML,1\n",
    );
    let settings = ImportConnectome::default();
    let Imported { graph, report } = settings.read(&[&chemical, &gap]).expect("reads");
    assert_eq!(weight(&graph, "AVAL", "AVAR", EdgeKind::Chemical), 2.0);
    assert_eq!(weight(&graph, "AVAR", "AVAL", EdgeKind::Electrical), 3.0);
    // A symmetric table that has one direction only is not what it says.
    assert_eq!(report.asymmetric.len(), 1);
    let other = file(&folder, "list.csv", LIST);
    assert!(settings.read(&[&chemical, &other]).is_err());
    assert!(settings.read::<&Path>(&[]).is_err());
    let nameless = file(&folder, "mine.csv", "pre,post,weight\nAVAL,AVAR,2\n");
    assert!(complaint(&nameless).contains("in the name of the file"));
}

#[test]
fn merged_neurons_add_up_their_weights() {
    let folder = folder();
    let text = "pre,post,type,synapses\nAVAL,RIML,chemical,2\nAVAR,RIMR,chemical,3\nAVAL,AVAR,electrical,4\n\
                VB1,VB2,chemical,1\nSMDDL,SMDVR,chemical,6\n";
    let path = file(&folder, "list.csv", text);
    let merge = |how| {
        let settings = ImportConnectome { merge: Some(how), ..ImportConnectome::default() };
        settings.read(&[&path]).expect("reads").graph
    };
    let graph = merge(Merge::LeftRight);
    assert_eq!(weight(&graph, "AVA", "RIM", EdgeKind::Chemical), 5.0);
    // The gap junction stood in both directions.
    assert_eq!(weight(&graph, "AVA", "AVA", EdgeKind::Electrical), 8.0);
    assert_eq!(weight(&graph, "VB1", "VB2", EdgeKind::Chemical), 1.0);
    assert_eq!(weight(&graph, "SMDD", "SMDV", EdgeKind::Chemical), 6.0);
    let graph = merge(Merge::Class);
    assert_eq!(weight(&graph, "VB", "VB", EdgeKind::Chemical), 1.0);
    assert_eq!(weight(&graph, "SMD", "SMD", EdgeKind::Chemical), 6.0);
    // 118 classes, of which CAN has no slot.
    assert_eq!(graph.nodes().rows(), 117);
    assert_eq!(graph.nodes().u32s("members").expect("there").iter().sum::<u32>(), 300);
}
