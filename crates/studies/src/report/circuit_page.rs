//! A page about one attribution graph: what it holds, how far it can be trusted, its drawing.

use nissl_trace::attribution::{Attributed, Names, Node};

use crate::report::{
    Cell, Facts, Form, LayeredEdge, LayeredGraph, LayeredNode, Note, Report, Section, Table, number,
};

/// Inputs of a logit that are listed.
const LISTED: usize = 15;

/// The page about `found`, the graph of what follows `prompt` in `network`.
pub fn page(found: &Attributed, names: &Names<'_>, prompt: &str, network: &str) -> Report {
    let lede = format!(
        "What in `{network}` leads from the prompt to its next token: each edge is the direct \
         effect of one part on another, with attention patterns, norms and activations held fixed."
    );
    let title = format!("After “{}”", prompt.trim_end());
    let nodes = found.graph.nodes();
    let features = |wanted: &dyn Fn(usize) -> bool| {
        let all = (0..nodes.len()).filter(|&node| wanted(node));
        all.filter(|&node| matches!(nodes[node], Node::Feature { .. })).count()
    };
    let completeness = &found.completeness;
    let facts = Facts::default()
        .with(
            format!("{} of {}", features(&|node| found.pruned.kept[node]), features(&|_| true)),
            "active features kept",
        )
        .with(number(found.pruned.edges.len() as f64), "edges kept")
        .with(
            format!("{} %", number(100.0 * found.pruned.share())),
            "of all influence on the logits is kept",
        )
        .with(
            format!("{} %", number(100.0 * completeness.errors)),
            "of the effects come from what the features leave unexplained",
        )
        .with(
            number(completeness.worst),
            "largest relative gap between the sum of the effects and the network",
        );
    let says = format!(
        "For all {} active features and explained logits, contributions, biases and errors were \
         added up and compared with what the network has.",
        completeness.targets
    );
    let mut report = Report::new(title, lede)
        .with_section(Section::new("In short").with(facts).says(says))
        .with_section(
            Section::new("The graph")
                .with(Note::how_to_read(
                    "Layers go upward, the prompt from left to right. A thick edge is a strong \
                     effect; dashed ones lower what they reach. Diamonds are what no feature of a \
                     layer explains. Point at a node to light up its edges.",
                ))
                .with(drawing(found, names)),
        );
    for (place, node) in nodes.iter().enumerate() {
        if let Node::Logit { token, probability } = *node {
            let token = (names.token)(token);
            let title =
                format!("What raises “{token}” ({} %)", number(100.0 * f64::from(probability)));
            report = report.with_section(Section::new(title).with(inputs(found, names, place)));
        }
    }
    report
}

/// The kept part of the graph, layers upward and positions to the right.
pub fn drawing(found: &Attributed, names: &Names<'_>) -> LayeredGraph {
    let nodes = found.graph.nodes();
    let mut rows = vec!["tokens".to_owned()];
    rows.extend((0..found.layers).map(|layer| format!("layer {layer}")));
    rows.push("logits".to_owned());
    let mut graph = LayeredGraph {
        caption: "What leads to the next token".to_owned(),
        rows,
        columns: found.tokens().into_iter().map(names.token).collect(),
        groups: ["tokens and logits", "features", "errors"].map(str::to_owned).into(),
        ..LayeredGraph::default()
    };
    let mut places = vec![usize::MAX; nodes.len()];
    for (place, node) in nodes.iter().enumerate().filter(|(place, _)| found.pruned.kept[*place]) {
        places[place] = graph.nodes.len();
        let influence = found.pruned.influence[place];
        let weight = match *node {
            Node::Logit { probability, .. } => f64::from(probability),
            _ => influence,
        };
        let (row, column, group, form) = match *node {
            Node::Token { position, .. } => (0, position, 0, Form::Square),
            Node::Feature { layer, position, .. } => (layer + 1, position, 1, Form::Disc),
            Node::Error { layer, position } => (layer + 1, position, 2, Form::Diamond),
            Node::Logit { .. } => (found.layers + 1, found.last_position(), 0, Form::Square),
        };
        let label = label(node, names);
        let title = title(node, names, found);
        graph.nodes.push(LayeredNode { row, column, label, title, group, form, weight });
    }
    for &(target, source) in &found.pruned.edges {
        let weight = f64::from(found.graph.weights()[[target, source]]);
        graph.edges.push(LayeredEdge { from: places[source], to: places[target], weight });
    }
    graph
}

fn label(node: &Node, names: &Names<'_>) -> String {
    match *node {
        Node::Feature { layer, feature, .. } => match (names.feature)(layer, feature) {
            name if name.is_empty() => feature.to_string(),
            name => name,
        },
        // The column beneath it is named by the token.
        Node::Error { .. } | Node::Token { .. } => String::new(),
        Node::Logit { token, probability } => {
            let share = number((100.0 * f64::from(probability)).round());
            format!("{} {share} %", (names.token)(token).trim_start())
        }
    }
}

fn title(node: &Node, names: &Names<'_>, found: &Attributed) -> String {
    let tokens = found.tokens();
    let at = |position: usize| {
        format!(
            "“{}” ({position})",
            tokens.get(position).map_or(String::new(), |&t| (names.token)(t))
        )
    };
    match *node {
        Node::Feature { layer, position, feature, activation } => {
            let name = match (names.feature)(layer, feature) {
                name if name.is_empty() => String::new(),
                name => format!(" · {name}"),
            };
            format!(
                "feature {feature} of layer {layer} at {}{name} · activation {}",
                at(position),
                number(f64::from(activation))
            )
        }
        Node::Error { layer, position } => {
            format!("unexplained in layer {layer} at {}", at(position))
        }
        Node::Token { position, .. } => format!("token {}", at(position)),
        Node::Logit { token, probability } => {
            format!(
                "logit “{}” · probability {}",
                (names.token)(token),
                number(f64::from(probability))
            )
        }
    }
}

/// The strongest direct effects on a node.
fn inputs(found: &Attributed, names: &Names<'_>, target: usize) -> Table {
    let row = found.graph.weights().row(target);
    let mut order: Vec<usize> = (0..row.len()).filter(|&source| row[source] != 0.0).collect();
    order.sort_by(|&a, &b| row[b].abs().total_cmp(&row[a].abs()));
    let caption = format!("The strongest of {} direct effects", order.len());
    order.into_iter().take(LISTED).fold(Table::new(caption, ["from", "effect"]), |table, source| {
        let from = title(&found.graph.nodes()[source], names, found);
        table.with_row([Cell::Text(from), Cell::Number(f64::from(row[source]))])
    })
}
