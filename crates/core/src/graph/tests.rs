//! Laws of graphs: saved is loaded, exports survive hostile names, damage is told.

use proptest::prelude::*;
use rand::RngExt;

use super::*;
use crate::store::{Existing, MANIFEST, Provenance, write_bytes};

fn nodes(names: &[&str]) -> Table {
    let count = names.len() as u32;
    Table::new()
        .with("node", Column::U32((0..count).map(|node| node * 10).collect()))
        .with("kind", Column::Text(vec!["feature".to_owned(); names.len()]))
        .with("name", Column::Text(names.iter().map(|&name| name.to_owned()).collect()))
}

fn edges(links: &[(u32, u32, f64)]) -> Table {
    Table::new()
        .with("source", Column::U32(links.iter().map(|link| link.0).collect()))
        .with("target", Column::U32(links.iter().map(|link| link.1).collect()))
        .with("type", Column::Text(vec!["excites".to_owned(); links.len()]))
        .with("weight", Column::F64(links.iter().map(|link| link.2).collect()))
}

const LINKS: [(u32, u32, f64); 5] =
    [(0, 10, 2.0), (0, 20, -3.0), (20, 10, 0.5), (10, 10, 1.0), (30, 0, 0.25)];

fn sample(orientation: Orientation) -> Graph {
    Graph::new(nodes(&["a", "b", "c", "d"]), edges(&LINKS), orientation).expect("fits")
}

fn saved(graph: &Graph, folder: &std::path::Path) {
    graph.save(folder, Provenance::default(), Existing::Refuse).expect("saves");
}

#[test]
fn questions_are_answered_in_the_stated_orientation() {
    let graph = sample(Orientation::Directed);
    assert_eq!(graph.in_degree(), [1, 3, 1, 0]);
    assert_eq!(graph.out_degree(), [2, 1, 1, 1]);
    assert_eq!(graph.in_strength(), [0.25, 3.5, -3.0, 0.0]);
    assert_eq!(graph.out_strength(), [-1.0, 1.0, 0.5, 0.25]);
    assert_eq!(graph.sources_of(10).expect("is there"), [0, 10, 20]);
    assert_eq!(graph.targets_of(0).expect("is there"), [10, 20]);
    assert_eq!(graph.neighbours(0).expect("is there"), [10, 20, 30]);
    assert!(graph.neighbours(1).is_err());
    let strongest = graph.strongest_edges(2);
    assert_eq!(strongest.f64s("weight").expect("is there"), [-3.0, 2.0]);
    let part = graph.subgraph(&[20, 0, 30]).expect("is there");
    assert_eq!(part.links().collect::<Vec<_>>(), [(0, 20, -3.0), (30, 0, 0.25)]);
    assert_eq!(part.nodes().u32s("node").expect("is there"), [0, 20, 30]);
    assert!(graph.subgraph(&[7]).is_err());

    let both = sample(Orientation::Undirected);
    assert_eq!(both.in_degree(), [3, 4, 2, 1]);
    assert_eq!(both.out_degree(), both.in_degree());
    assert_eq!(both.targets_of(10).expect("is there"), [0, 10, 20]);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let names = ["a", "b"];
    let made = |nodes: Table, edges: Table| Graph::new(nodes, edges, Orientation::Directed);
    let complaint =
        |nodes: Table, edges: Table| made(nodes, edges).expect_err("is refused").to_string();
    assert!(complaint(nodes(&names), edges(&[(0, 11, 1.0)])).contains("`target` is 11"));
    assert!(complaint(nodes(&names), edges(&[(0, 10, f64::NAN)])).contains("`weight`"));
    let twice = nodes(&names).with("node", Column::U32(vec![5, 5]));
    assert!(complaint(twice, edges(&[])).contains("`node`"));
    assert!(
        complaint(nodes(&names).with("x", Column::F32(vec![0.0; 2])), edges(&[])).contains("`y`")
    );
    assert!(complaint(Table::new(), edges(&[])).contains("`node`"));
    assert!(complaint(nodes(&names), Table::new()).contains("`source`"));
    let late = edges(&LINKS[..1]).with("time_s", Column::F64(vec![f64::INFINITY]));
    assert!(complaint(nodes(&names), late).contains("`time_s`"));
    let always = edges(&LINKS[..1]).with("time_s", Column::F64(vec![f64::NAN]));
    assert!(made(nodes(&names), always).is_ok());
}

#[test]
fn a_graph_in_parts_is_the_same_graph() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("g");
    let provenance = Provenance::default();
    let begin = |existing| {
        let nodes = nodes(&["a", "b", "c", "d"]);
        GraphWriter::create(&path, nodes, Orientation::Directed, provenance.clone(), existing)
    };
    let mut cut = begin(Existing::Refuse).expect("begins");
    cut.push(&edges(&LINKS[..2])).expect("pushes");
    drop(cut);
    let error = Graph::open(&path).expect_err("interrupted");
    assert!(error.to_string().contains("interrupted"), "{error}");
    let mut writer = begin(Existing::Resume).expect("goes on");
    assert!(writer.push(&edges(&[(0, 1, 1.0)])).is_err());
    for link in LINKS {
        writer.push(&edges(&[link])).expect("pushes");
    }
    writer.finish().expect("finishes");
    assert_eq!(Graph::open(&path).expect("opens"), sample(Orientation::Directed));
    Graph::verify(&path).expect("sound");
    assert!(matches!(begin(Existing::Resume), Err(Error::Exists { .. })));
    let groups = Graph::edge_groups(&path).expect("opens");
    assert_eq!(groups.nodes().rows(), 4);
    assert_eq!(groups.map(|group| group.expect("reads").rows()).sum::<usize>(), 5);
}

#[test]
fn damaged_graphs_give_errors_not_panics() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("g");
    saved(&sample(Orientation::Directed), &path);
    let mut rng = crate::seed::rng(3, 0);
    for name in ["nodes.parquet", "edges.parquet", MANIFEST] {
        let file = path.join(name);
        let sound = std::fs::read(&file).expect("reads");
        for round in 0..150 {
            let mut bytes = sound.clone();
            let place = rng.random_range(0..bytes.len());
            if round % 4 == 0 {
                bytes.truncate(place);
            } else {
                bytes[place] ^= rng.random_range(1..=255u8);
            }
            write_bytes(&file, &bytes).expect("writes");
            let opened = Graph::open(&path);
            let whole_json = name == MANIFEST && place + 1 == sound.len();
            assert!(round % 4 != 0 || whole_json || opened.is_err(), "{name} cut at {place}");
            if name != MANIFEST {
                assert!(Graph::verify(&path).is_err(), "{name} changed at {place}");
            }
        }
        write_bytes(&file, &sound).expect("writes");
    }
    Graph::open(&path).expect("sound again");
}

#[test]
fn viewers_get_nodes_and_links_that_agree() {
    let rich = nodes(&["cat", "loss", "the", "again"])
        .with("kind", Column::Text(["feature", "error", "token", "feature"].map(Into::into).into()))
        .with("layer", Column::U32(vec![2, 2, 0, 2]))
        .with("feature", Column::U32(vec![7, 0, 464, 7]))
        .with("position", Column::U32(vec![1, 1, 0, 1]))
        .with("influence", Column::F32(vec![0.5, f32::NAN, 0.25, 0.0]));
    let graph = Graph::new(rich, edges(&LINKS), Orientation::Directed).expect("fits");
    let metadata = AttributionMetadata { slug: "s".into(), ..Default::default() };
    let mut bytes = Vec::new();
    graph.to_attribution_json(&metadata, &mut bytes).expect("writes");
    let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(json["metadata"]["slug"], "s");
    let nodes = json["nodes"].as_array().expect("a list");
    assert_eq!(nodes[0]["node_id"], "2_7_1");
    assert_eq!(nodes[0]["feature"], 52); // Cantor: (2 + 7)(2 + 7 + 1) / 2 + 7
    assert_eq!(nodes[0]["feature_type"], "cross layer transcoder");
    assert_eq!(nodes[1]["node_id"], "2_-1_1");
    assert!(nodes[1]["influence"].is_null());
    assert_eq!(nodes[2]["feature_type"], "embedding");
    assert_ne!(nodes[3]["node_id"], nodes[0]["node_id"]);
    assert_eq!(json["links"][1]["source"], "2_7_1");
    assert_eq!(json["links"][1]["target"], nodes[2]["node_id"]);
    assert_eq!(json["links"][1]["weight"], -3.0);
    let both = sample(Orientation::Undirected);
    assert!(both.to_attribution_json(&metadata, Vec::new()).is_err());
}

/// The text of all `data` elements; fails where the XML is not well-formed.
fn xml_data(text: &str) -> Result<Vec<String>, String> {
    let (mut open, mut found) = (Vec::<String>::new(), Vec::new());
    let mut rest = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").ok_or("head")?;
    while let Some(start) = rest.find('<') {
        let inside = decode(&rest[..start])?;
        let end = start + rest[start..].find('>').ok_or("an open tag")?;
        let tag = &rest[start + 1..end];
        if tag.contains('<') || tag.matches('"').count() % 2 == 1 {
            return Err(format!("tag {tag}"));
        }
        decode(tag)?;
        let name = tag.trim_matches('/').split(' ').next().unwrap_or_default().to_owned();
        if tag.starts_with('/') {
            if open.pop().as_ref() != Some(&name) {
                return Err(format!("{name} closes another"));
            }
            if name == "data" {
                found.push(inside);
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    if open.is_empty() { Ok(found) } else { Err(format!("left open: {open:?}")) }
}

fn decode(text: &str) -> Result<String, String> {
    let mut parts = text.split('&');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, after) = part.split_once(';').ok_or("a bare ampersand")?;
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            "#9" => '\t',
            "#10" => '\n',
            "#13" => '\r',
            other => return Err(format!("entity {other}")),
        });
        out.push_str(after);
    }
    let illegal = |c: char| (c < ' ' && !"\t\n\r".contains(c)) || "\u{fffe}\u{ffff}".contains(c);
    if out.contains(illegal) { Err("an illegal character".to_owned()) } else { Ok(out) }
}

/// The fields of a CSV file by RFC 4180.
fn csv_fields(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '"' if quoted && rest.peek() == Some(&'"') => field.extend(rest.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    rows
}

const HOSTILE: &str = "[\\x00-\\x20<>&\"',;=\\]a-zé\u{fffe}\u{1F600}]{0,12}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn saved_is_loaded(
        names in prop::collection::vec(HOSTILE, 1..9),
        links in prop::collection::vec((0u32..8, 0u32..8, -1e9f64..1e9), 0..40),
        seed in any::<u64>(),
        directed in any::<bool>(),
    ) {
        let count = names.len() as u32;
        let links: Vec<_> =
            links.iter().map(|&(s, t, w)| (s % count * 10, t % count * 10, w)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let orientation =
            if directed { Orientation::Directed } else { Orientation::Undirected };
        let places: Vec<[f32; 2]> = (0..count).map(|node| [node as f32, 0.5]).collect();
        let graph = Graph::new(nodes(&names), edges(&links), orientation).expect("fits");
        let graph = graph.with_layout(&places, seed).expect("fits");
        let folder = tempfile::tempdir().expect("a folder");
        saved(&graph, folder.path());
        let back = Graph::open(folder.path()).expect("opens");
        prop_assert_eq!(back.layout(), Some(places));
        prop_assert_eq!(back, graph);
    }

    #[test]
    fn exports_survive_hostile_names(names in prop::collection::vec(HOSTILE, 4), column in HOSTILE) {
        let texts: Vec<&str> = names.iter().map(String::as_str).collect();
        let column = format!("free {column}");
        let table = nodes(&texts).with(&column, Column::F64(vec![f64::NAN, 1.0, 2.5, -0.5]));
        let graph = Graph::new(table, edges(&LINKS), Orientation::Directed).expect("fits");
        let mut bytes = Vec::new();
        graph.to_graphml(&mut bytes).expect("writes");
        let data = xml_data(&String::from_utf8(bytes).expect("UTF-8"));
        let data = data.map_err(TestCaseError::fail)?;
        prop_assert_eq!(data.len(), 4 * 4 - 1 + 5 * 4);
        let clean = |text: &str| -> String {
            let legal = |c: char| c >= ' ' && c != '\u{fffe}' || "\t\n\r".contains(c);
            text.chars().map(|c| if legal(c) { c } else { '\u{fffd}' }).collect()
        };
        prop_assert_eq!(&data[2], &clean(texts[0]));

        let folder = tempfile::tempdir().expect("a folder");
        graph.to_csv(folder.path()).expect("writes");
        let text = std::fs::read_to_string(folder.path().join("nodes.csv")).expect("reads");
        let rows = csv_fields(&text);
        prop_assert_eq!(&rows[0][3], &column);
        for (row, name) in rows[1..].iter().zip(&texts) {
            prop_assert_eq!(&row[2], name);
        }
        prop_assert_eq!(&rows[1][3], "");
    }
}
