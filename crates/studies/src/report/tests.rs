//! Whole reports: well-formed, self-contained, safe against any text.

use proptest::prelude::*;

use super::*;

/// Elements without an end tag.
const VOID: [&str; 1] = ["meta"];

/// Fails unless every tag is closed in its turn, attributes are quoted, and no id stands twice.
#[track_caller]
fn check_well_formed(html: &str) {
    let mut rest = html.strip_prefix("<!doctype html>").unwrap_or(html);
    let mut open: Vec<&str> = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>'), "a loose > before {:?}", &rest[at..at + 20]);
        let end = at + rest[at..].find('>').expect("every tag ends");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed out of turn");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{tag}");
        assert_eq!(attributes.matches('"').count() % 2, 0, "{tag}");
        for (index, part) in attributes.split('"').enumerate() {
            let is_name = index % 2 == 0;
            let name = part.trim().trim_end_matches('=');
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            assert!(!is_name || plain, "{part:?} in {tag}");
            assert!(!is_name || !name.starts_with("on") && name != "style", "{tag}");
        }
        if let Some(id) =
            attributes.split("id=\"").nth(1).filter(|_| !attributes.contains("by=\"s"))
        {
            assert!(ids.insert(id.split('"').next()), "{tag}");
        }
        if name == "style" || name == "script" {
            rest = &rest[rest.find("</").expect("style and script end")..];
        }
        if !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

/// Fails if the file could ask anyone for anything.
#[track_caller]
fn check_self_contained(html: &str) {
    for word in ["http://", "https://", "src=", "@import", "url(", "<link", "<img", "<iframe"] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.contains("default-src &#39;none&#39;"));
}

fn hostile(text: &str) -> Report {
    let token = |text: &str| TokenActivity { text: text.to_owned(), activity: 1.0 };
    let card = FeatureCard {
        name: text.to_owned(),
        examples: vec![Example { from: text.to_owned(), tokens: vec![token(text), token(text)] }],
        up: vec![TokenEffect { text: text.to_owned(), effect: f32::NAN }],
        units: vec![UnitWeight { unit: text.to_owned(), weight: f32::INFINITY }],
        ..FeatureCard::default()
    };
    let piece = Piece { text: text.to_owned(), in_concept: true };
    let before_after = BeforeAfter {
        feature: text.to_owned(),
        concept: text.to_owned(),
        prompt: text.to_owned(),
        plain: vec![piece],
        steered: Vec::new(),
    };
    let lines = Lines {
        caption: text.to_owned(),
        x: Axis::linear(text),
        y: Axis::log(text),
        series: vec![Series { label: text.to_owned(), points: vec![[0.0, 1.0], [1.0, 9.0]] }],
        references: vec![Reference { label: text.to_owned(), value: 3.0 }],
        bands: vec![Band { label: text.to_owned(), range: [0.2, 0.6] }],
    };
    let table = Table::new(text, [text, text]).with_row([Cell::text(text), Cell::token(text)]);
    let provenance = Provenance {
        command: vec![text.to_owned(), text.to_owned()],
        config: serde_json::json!({ text: text }),
        ..Provenance::default()
    };
    let section = Section::new(text)
        .says(text)
        .with(Prose::new(text))
        .with(Note::how_to_read(text))
        .with(Facts::default().with(text, text))
        .with(Steps::default().then(text, text))
        .with(ScoreBars::new(text, text).with_row(ScoreRow::new(text, Score::new(0.5))))
        .with(FeatureCards { caption: text.to_owned(), cards: vec![card] })
        .with(before_after)
        .with(lines)
        .with(Histogram::of(text, Axis::linear(text), &[1.0, 2.0], 2).with_mark(text, 1.5))
        .with(Bars::new(text).with_bar(Bar::new(text, f64::NAN, Bound::AtLeast(0.0))))
        .with(table)
        .with(provenance);
    Report::new(text, text).with_section(section)
}

#[test]
fn the_checker_sees_what_is_wrong() {
    for wrong in
        ["<p><b></p></b>", "<p>", "<p title=\"a>b</p>", "<p onclick=\"x\"></p>", "a > b <p></p>"]
    {
        assert!(std::panic::catch_unwind(|| check_well_formed(wrong)).is_err(), "{wrong}");
    }
    check_well_formed("<p title=\"a\">b<b>c</b></p>");
}

#[test]
fn a_report_with_every_block_is_well_formed_and_self_contained() {
    let html = sample::report().to_html();
    check_well_formed(&html);
    check_self_contained(&html);
    assert!(html.len() < 320_000, "{} bytes", html.len());
    if let Some(path) = std::env::var_os("NISSL_SAMPLE_REPORT") {
        sample::report().write(Path::new(&path)).expect("the path can be written");
    }
}

#[test]
fn hostile_text_stays_text() {
    for text in [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\" onmouseover=\"alert(1)\" x=\"",
        "' style='background:url(https://example.org/x)",
        "]]><!--",
        "`</code><b>`",
        "@import \"https://example.org\";",
        "\u{202e}desrever\u{2066}\0\u{1b}[31m\u{feff}\u{ffff}",
        "",
        " ",
        "\n\r\t",
    ] {
        let html = hostile(text).to_html();
        check_well_formed(&html);
        // The style sheet's end is the only `</style>`; the script stands once.
        assert_eq!(html.matches("<script").count(), 1, "{text}");
        assert!(!html.contains("<img") && !html.contains("<!--"), "{text}");
        assert!(!html.contains("https:/") && !html.contains("src="), "{text}");
        for character in ['\0', '\u{1b}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{ffff}'] {
            assert!(!html.contains(character), "{text:?}");
        }
    }
}

#[test]
fn a_token_of_a_million_letters_is_cut_and_told() {
    let html = hostile(&"ab".repeat(500_000)).to_html();
    check_well_formed(&html);
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
    assert!(html.contains("… (1\u{2009}000\u{2009}000 characters)"));
}

#[test]
fn tokens_are_isolated() {
    let html = sample::report().to_html();
    assert!(html.contains("<bdi class=\"p10 peak\" title=\"activity 9.40\">red</bdi>"));
    assert!(html.contains("<mark><bdi>green</bdi></mark>"));
    assert!(html.contains("<bdi>␣blue</bdi>"));
}

#[test]
fn the_verdict_names_what_was_missed() {
    let html = sample::report().to_html();
    assert!(html.contains("<strong class=\"bad\">✗ fail</strong>"));
    assert!(html.contains("1 of 4 bars missed: neurons shared inside a group."));
    let missed = html.find("✗ missed").expect("a missed bar");
    assert!(missed < html.find("✓ holds").expect("a bar that holds"), "missed bars come first");
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    assert_eq!(sample::report().to_html(), sample::report().to_html());
}

#[test]
fn a_report_is_written_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new").join("report.html");
    sample::report().write(&path).expect("writes");
    let text = std::fs::read_to_string(&path).expect("reads");
    assert!(text.ends_with("</html>\n"));
    assert!(sample::report().write(folder.path()).is_err(), "a folder is no file");
}

#[test]
fn a_report_is_plain_data() {
    let value = serde_json::to_value(sample::report()).expect("every block is plain data");
    assert_eq!(value["sections"][1]["blocks"][1]["block"], "score-bars");
    assert_eq!(value["verdict"]["pass"], false);
}

#[test]
fn a_small_report_looks_as_it_did() {
    let score = Score::new(0.8).with_interval(0.7, 0.9).with_baseline(0.5);
    let section = Section::new("Methods")
        .says("Run `nissl demo` & look.")
        .with(ScoreBars::new("Recovery", "AUROC").with_row(ScoreRow::new("snmf", score)))
        .with(Bars::new("Bars").with_bar(Bar::new("found", 0.97, Bound::AtLeast(0.95))));
    let html = Report::new("Small", "One section.").with_section(section).to_html();
    let main = html.split("<main>").nth(1).and_then(|rest| rest.split("</main>").next());
    insta::assert_snapshot!(main.expect("a main part").replace("><", ">\n<"));
}

/// The attribute `name` of every element whose opening tag holds `mark`.
fn attributes(html: &str, mark: &str, name: &str) -> Vec<String> {
    let begin = format!(" {name}=\"");
    let tags = html.split('<').filter_map(|rest| rest.split('>').next());
    let values = tags.filter(|tag| tag.contains(mark)).filter_map(|tag| {
        let after = tag.split(begin.as_str()).nth(1)?;
        Some(after.split('"').next()?.to_owned())
    });
    values.collect()
}

fn drawn(graph: LayeredGraph) -> String {
    Report::new("G", "").with_section(Section::new("g").with(graph)).to_html()
}

#[test]
fn a_layered_graph_puts_rows_upward_and_columns_rightward() {
    let mut graph = LayeredGraph {
        rows: ["in", "out"].map(str::to_owned).into(),
        columns: ["a", "b"].map(str::to_owned).into(),
        ..LayeredGraph::default()
    };
    for (row, column) in [(0, 0), (0, 1), (1, 1)] {
        graph.nodes.push(LayeredNode { row, column, group: 1, ..LayeredNode::default() });
    }
    graph.edges = vec![
        LayeredEdge { from: 0, to: 2, weight: -1.0 },
        LayeredEdge { from: 1, to: 2, weight: 4.0 },
        LayeredEdge { from: 1, to: 9, weight: 4.0 },
        LayeredEdge { from: 0, to: 1, weight: f64::NAN },
    ];
    let html = drawn(graph);
    check_well_formed(&html);
    let mark = "class=\"dot g1\" cx";
    let place = |name: &str| -> Vec<f64> {
        attributes(&html, mark, name).iter().map(|text| text.parse().expect("a number")).collect()
    };
    let (x, y) = (place("cx"), place("cy"));
    assert_eq!(x.len(), 3, "{x:?}");
    assert!(x[0] < x[1] && (x[1] - x[2]).abs() < 1e-9, "{x:?}");
    assert!(y[2] < y[0] && (y[0] - y[1]).abs() < 1e-9, "{y:?}");
    // Absent ends and weights that are no numbers are not drawn; wide and on top is the strongest.
    let widths = attributes(&html, "data-from", "stroke-width");
    assert_eq!(widths, ["1.81", "5.00"]);
    assert_eq!(attributes(&html, "data-from", "data-to"), ["2", "2"]);
    assert!(html.contains("class=\"link minus\"") && html.contains("class=\"link plus\""));
}

#[test]
fn nodes_of_a_crowded_layer_keep_apart() {
    let mut graph = LayeredGraph { rows: vec!["all".to_owned()], ..LayeredGraph::default() };
    graph.nodes = vec![LayeredNode { group: 1, ..LayeredNode::default() }; 700];
    graph.edges = (0..699).map(|from| LayeredEdge { from, to: from + 1, weight: 1.0 }).collect();
    let html = drawn(graph);
    check_well_formed(&html);
    let mark = "class=\"dot g1\" cx";
    let places: std::collections::BTreeSet<_> =
        attributes(&html, mark, "cx").into_iter().zip(attributes(&html, mark, "cy")).collect();
    assert_eq!(places.len(), 700);
    assert!(html.contains("The 600 strongest of 699 edges are drawn."));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_gives_a_sound_file(text in ".{0,80}|[<>&\"'`/=@\\x00-\\x1f\u{202e} a]{0,60}") {
        let html = hostile(&text).to_html();
        check_well_formed(&html);
        for word in ["http://", "https://", "src=", "@import", "<img"] {
            prop_assert!(!html.contains(word));
        }
    }
}
