//! A report with every block, for tests and for looking at; its figures are drawn from a seed.

use nissl_core::store::{Input, Provenance};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// A report with every block.
pub(super) fn report() -> Report {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let bars = bars();
    Report::new(
        "What a small story model knows, found without being told",
        "A language model was read while it read stories. Four methods split its activity into \
         features; since the stories were written by a program, we know what there was to find.",
    )
    .judged_by(&bars)
    .with_section(overview())
    .with_section(methods())
    .with_section(Section::new("Features").says("Some of the 100 features.").with(cards()))
    .with_section(
        Section::new("Steering")
            .says("Adding a feature to the activity changes how a text goes on.")
            .with(before_after()),
    )
    .with_section(curves(&mut rng))
    .with_section(
        Section::new("Circuits").with(prompt_graph(&mut rng)).with(module_graph(&mut rng)),
    )
    .with_section(Section::new("Against the paper").with(bars))
    .with_section(Section::new("How to do it again").with(provenance()))
}

fn overview() -> Section {
    let facts = Facts::default()
        .with("48 of 64", "planted concepts recovered by SNMF")
        .with(number(120_000.0), "tokens read")
        .with(number(1_024.0), "neurons in the layer")
        .with("41.2 s", "on 2 processor cores");
    let steps = Steps::default()
        .then("Write stories", "A grammar wrote stories whose every token carries its meaning.")
        .then("Record", "`nissl record` kept the activity of `layers.2.mlp.act`.")
        .then("Decompose", "Each method split the activity into 100 features.");
    Section::new("In short").with(facts).with(steps)
}

fn methods() -> Section {
    let row = |label: &str, value: f64, half: f64| {
        let score = Score::new(value).with_interval(value - half, value + half);
        ScoreRow::new(label, score.with_baseline(0.5).with_count(64))
    };
    let mut scores = ScoreBars::new("How well the best feature finds each concept", "mean AUROC")
        .with_row(row("snmf", 0.913, 0.018).with_note("100 features").chosen())
        .with_row(row("k-means", 0.846, 0.024))
        .with_row(row("single neurons", 0.8, 0.021))
        .with_row(row("pca", 0.774, 0.027))
        .with_row(row("random directions", 0.508, 0.019));
    "chance".clone_into(&mut scores.baseline);
    "concepts".clone_into(&mut scores.counted);
    let table = [("weekday", 0.982, 0.011, "Monday"), ("owner", 0.61, 0.2, "her")]
        .into_iter()
        .chain([("colour", 0.951, 0.032, "red"), ("passive", 0.72, 0.14, " was")])
        .fold(
            Table::new("Concepts", ["concept", "AUROC", "share of tokens", "strongest token"]),
            |table, (concept, auroc, share, token)| {
                let score = Score::new(auroc).with_interval(auroc - 0.02, auroc + 0.015);
                table.with_row([
                    Cell::text(concept),
                    Cell::Score(score.with_baseline(0.5)),
                    Cell::Number(share),
                    Cell::token(token),
                ])
            },
        );
    Section::new("Methods against the planted truth")
        .says("AUROC is the chance that a token with the concept is more active than one without.")
        .with(Note::how_to_read(
            "The dark mark is the score, the line around it the range in which the true value lies \
             with 95 % confidence, the hollow mark what guessing would give.",
        ))
        .with(scores)
        .with(table)
}

fn words(text: &str, activity: impl Fn(&str) -> f32) -> Vec<TokenActivity> {
    let mut tokens = Vec::new();
    for (index, word) in text.split(' ').enumerate() {
        let text = if index == 0 { word.to_owned() } else { format!(" {word}") };
        tokens.push(TokenActivity { activity: activity(word), text });
    }
    tokens
}

fn example(from: &str, text: &str) -> Example {
    let strength = |word: &str| match word {
        "red" => 9.4,
        "blue" | "green" => 7.1,
        "grey" => 4.2,
        "flag" | "hat" => 1.3,
        "run" | "of" => -3.1,
        _ => 0.0,
    };
    Example { from: from.to_owned(), tokens: words(text, strength) }
}

/// Cards of a good, a weak and an untested feature.
pub(super) fn cards() -> FeatureCards {
    let effects = |pairs: &[(&str, f32)]| {
        let of = |&(text, effect): &(&str, f32)| TokenEffect { text: text.to_owned(), effect };
        pairs.iter().map(of).collect::<Vec<_>>()
    };
    let unit = |unit: usize, weight| UnitWeight { unit: format!("neuron {unit}"), weight };
    let colour = FeatureCard {
        feature: 12,
        name: "colour words".to_owned(),
        quality: Some(Quality::Good),
        reason: "Its ten strongest tokens are all colours, and it pushes colours up.".to_owned(),
        matched: Some(Match {
            truth: Truth::Found,
            concept: "colour".to_owned(),
            score: Score::new(0.97).with_interval(0.955, 0.981).with_baseline(0.5),
        }),
        density: Some(0.0123),
        examples: vec![
            example("top", "the old red and blue flag of the town"),
            example("top", "Anna had a green hat and a red bag ."),
            example("middle", "it was a grey day , and they went for a run"),
            example("low", "the flag of the king was lost in the snow"),
            example("none", "Tom said that he had seen her on Monday ."),
        ],
        up: effects(&[("red", 2.13), (" blue", 1.9), ("hue", 0.6)]),
        down: effects(&[("of", -0.8), ("run", -0.61)]),
        units: vec![unit(207, 0.31), unit(514, 0.22), unit(33, -0.17), unit(801, 0.05)],
        units_in_all: 1024,
    };
    let weak = FeatureCard {
        feature: 47,
        name: "unclear".to_owned(),
        quality: Some(Quality::Weak),
        reason: "Its tokens share nothing that a reader could name.".to_owned(),
        matched: Some(Match {
            truth: Truth::NotFound,
            concept: "plural".to_owned(),
            score: Score::new(0.53).with_interval(0.49, 0.57).with_baseline(0.5),
        }),
        ..FeatureCard { units: vec![unit(9, -0.4)], ..colour.clone() }
    };
    let untested = FeatureCard {
        feature: 63,
        name: "silent".to_owned(),
        density: Some(0.0),
        ..FeatureCard::default()
    };
    let caption = "Chosen by how well they are explained, and one that is not".to_owned();
    FeatureCards { caption, cards: vec![colour, weak, untested] }
}

fn pieces(text: &str) -> Vec<Piece> {
    let colour = |word: &str| ["red", "blue", "green"].contains(&word);
    text.split(' ')
        .map(|word| Piece { text: format!(" {word}"), in_concept: colour(word) })
        .collect()
}

fn before_after() -> BeforeAfter {
    let steered = |direction, target_kl, reached_kl, text| Steered {
        direction,
        target_kl,
        reached_kl,
        strength: reached_kl
            .map(|kl: f64| kl * if direction == Direction::Along { 40. } else { -60. }),
        text: pieces(text),
    };
    BeforeAfter {
        feature: "feature 12 · colour words".to_owned(),
        concept: "colour".to_owned(),
        prompt: "Anna looked at the".to_owned(),
        plain: pieces("old house . It was a green house with a garden ."),
        steered: vec![
            steered(
                Direction::Along,
                0.1,
                Some(0.101),
                "red house . It was a house with a red door .",
            ),
            steered(
                Direction::Along,
                0.5,
                Some(0.49),
                "blue and red flag . It was red , blue and green .",
            ),
            steered(Direction::Against, 0.1, Some(0.097), "old house . It was a big house ."),
            steered(Direction::Against, 0.5, None, "house . It was a house ."),
        ],
    }
}

fn curves(rng: &mut ChaCha8Rng) -> Section {
    let mut curve = |label: &str, end: f64, rate: f64| {
        let points = (1..=800)
            .map(|step| {
                let step = f64::from(step * 10);
                [step, end + 3.2 * (-step / rate).exp() + rng.random_range(-0.03..0.03)]
            })
            .collect();
        Series { label: label.to_owned(), points }
    };
    let known = |label: &str, value| Reference { label: label.to_owned(), value };
    let lines = Lines {
        caption: "Loss while the model learns".to_owned(),
        x: Axis::linear("training step"),
        y: Axis::linear("loss (nats per token)"),
        series: vec![curve("training", 1.92, 700.0), curve("held out", 1.97, 720.0)],
        references: vec![known("lower bound", 1.83), known("5-gram", 2.46), known("unigram", 5.02)],
        bands: Vec::new(),
    };
    let values: Vec<f64> = (0..4000).map(|_| -6.0 * rng.random::<f64>().ln() / 3.0).collect();
    let histogram = Histogram::of("Activity of feature 12", Axis::linear("activity"), &values, 40)
        .with_log_counts()
        .with_mark("threshold", 6.2);
    let densities: Vec<f64> = (0..300).map(|_| 10f64.powf(rng.random_range(-4.0..-0.5))).collect();
    let by_density = Histogram::of(
        "How often features are active",
        Axis::log("share of tokens"),
        &densities,
        30,
    );
    Section::new("Curves").with(lines).with(histogram).with(by_density)
}

fn bars() -> Bars {
    Bars::new("Semi-nonnegative matrix factorisation, parts A and B")
        .with_bar(Bar::new("planted features found", 1.0, Bound::AtLeast(0.95)).with_paper(0.98))
        .with_bar(Bar::new("found by PCA", 0.0, Bound::AtMost(0.1)))
        .with_bar(
            Bar::new("neurons shared inside a group", 6.4, Bound::AtLeast(7.0))
                .with_paper(8.2)
                .with_note("median of three seeds"),
        )
        .with_bar(Bar::new("relative loss", 1.01, Bound::Within(0.97, 1.03)))
}

fn provenance() -> Provenance {
    Provenance {
        command: ["nissl", "demo", "-o", "my demo"].map(str::to_owned).into(),
        config: serde_json::json!({"features": 100, "site": "layers.2.mlp.act"}),
        seed: 7,
        version: "0.1.0".to_owned(),
        inputs: vec![Input { path: "world".to_owned(), sha256: "0f".repeat(32) }],
        device: "cpu (2 threads)".to_owned(),
        seconds: 41.23,
    }
}

/// A graph over the tokens of a prompt, as attribution draws it.
pub(super) fn prompt_graph(rng: &mut ChaCha8Rng) -> LayeredGraph {
    let columns = ["Anna", " had", " a", " red", " hat", " and", " a"];
    let mut graph = LayeredGraph {
        caption: "What leads to the next token".to_owned(),
        rows: ["tokens", "layer 0", "layer 1", "layer 2", "logits"].map(str::to_owned).into(),
        columns: columns.map(str::to_owned).into(),
        groups: ["tokens and logits", "features", "errors"].map(str::to_owned).into(),
        ..LayeredGraph::default()
    };
    let mut add = |row: usize, column: usize, label: &str, group: usize, form: Form| {
        graph.nodes.push(LayeredNode {
            row,
            column,
            label: label.to_owned(),
            title: format!("{label} at {}", columns[column]),
            group,
            form,
            weight: 1.0 / (1.0 + graph.nodes.len() as f64),
        });
    };
    for (column, token) in columns.iter().enumerate() {
        add(0, column, token, 0, Form::Square);
    }
    for (row, column) in [(1, 0), (1, 3), (1, 3), (1, 4), (2, 3), (2, 6), (2, 6), (3, 6), (3, 6)] {
        add(row, column, "colour of a thing", 1, Form::Disc);
    }
    add(2, 5, "error", 2, Form::Diamond);
    for logit in [" blue", " green", " bag"] {
        add(4, 6, logit, 0, Form::Square);
    }
    for to in 7..graph.nodes.len() {
        for from in 0..to {
            if graph.nodes[from].row < graph.nodes[to].row && rng.random_bool(0.4) {
                graph.edges.push(LayeredEdge { from, to, weight: rng.random_range(-2.0..4.0) });
            }
        }
    }
    graph
}

/// A graph of directions by layer in coloured modules, as interaction graphs are drawn.
pub(super) fn module_graph(rng: &mut ChaCha8Rng) -> LayeredGraph {
    let mut graph = LayeredGraph {
        caption: "Directions and their modules".to_owned(),
        rows: ["embed", "attention", "mlp", "logits"].map(str::to_owned).into(),
        columns: vec![String::new()],
        ..LayeredGraph::default()
    };
    for row in 0..4 {
        for index in 0..24 {
            graph.nodes.push(LayeredNode {
                row,
                title: format!("direction {index} of {}", graph.rows[row]),
                group: 1 + index / 6,
                weight: -(index as f64),
                ..LayeredNode::default()
            });
        }
    }
    for from in 0..72 {
        for to in (from / 24 + 1) * 24..(from / 24 + 2) * 24 {
            let same = graph.nodes[from].group == graph.nodes[to].group;
            let weight = rng.random::<f64>() * if same { 1.0 } else { 0.1 };
            if same || to % 11 == 0 {
                graph.edges.push(LayeredEdge { from, to, weight });
            }
        }
    }
    graph
}
