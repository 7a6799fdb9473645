//! A connectome with signs, as lists of what reaches each neuron.

use nissl_core::graph::{Graph, Orientation};
use nissl_core::{Column, Error, Result, Table};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Signs;

/// Synapses and gap junctions of named neurons.
#[derive(Clone, Debug, PartialEq)]
pub struct Wiring {
    /// The names `[neuron]`.
    pub names: Vec<String>,
    /// What each neuron receives: the neuron it comes from and its weight, above 0.
    pub chemical: Vec<Vec<(usize, f64)>>,
    /// The gap junctions of each neuron: the other neuron and their weight, above 0; loops are left out.
    pub electrical: Vec<Vec<(usize, f64)>>,
    /// −1 for neurons that inhibit, else 1 `[neuron]`.
    pub sign: Vec<f64>,
    /// The node table of the connectome.
    nodes: Table,
}

impl Wiring {
    pub(super) fn new(
        graph: &Graph,
        signs: Signs,
        inhibitory: f64,
        rng: &mut ChaCha8Rng,
    ) -> Result<Self> {
        let nodes = graph.nodes();
        let names = nodes.texts("name")?.to_vec();
        let count = names.len();
        let mut wiring = Self {
            chemical: vec![Vec::new(); count],
            electrical: vec![Vec::new(); count],
            sign: vec![1.0; count],
            nodes: nodes.clone(),
            names,
        };
        let kinds = graph.edges().texts("type")?;
        for ((source, target, weight), kind) in graph.links().zip(kinds) {
            let (from, to) = (graph.row(source)?, graph.row(target)?);
            let lists = match kind.as_str() {
                "chemical" => &mut wiring.chemical,
                "electrical" => &mut wiring.electrical,
                _ => continue,
            };
            if weight < 0.0 {
                let found = format!("{weight} from {} to {}", wiring.names[from], wiring.names[to]);
                return Err(Error::setting("weight", found, "at least 0 for synapses"));
            }
            if kind == "electrical" && from == to || weight == 0.0 {
                continue;
            }
            lists[to].push((from, weight));
            if graph.orientation() == Orientation::Undirected && from != to {
                lists[from].push((to, weight));
            }
        }
        if wiring.chemical.iter().chain(&wiring.electrical).all(Vec::is_empty) {
            let what = "the connectome".to_owned();
            return Err(Error::Empty {
                what,
                expected: "edges of type chemical or electrical".to_owned(),
            });
        }
        match signs {
            Signs::Random => {
                for sign in &mut wiring.sign {
                    *sign = if rng.random_bool(inhibitory) { -1.0 } else { 1.0 };
                }
            }
            Signs::Transmitter => {
                let transmitters = nodes.texts("neurotransmitter")?;
                for (sign, transmitter) in wiring.sign.iter_mut().zip(transmitters) {
                    *sign = if transmitter.contains("GABA") { -1.0 } else { 1.0 };
                }
            }
        }
        Ok(wiring)
    }

    /// The number of neurons.
    pub fn neurons(&self) -> usize {
        self.names.len()
    }

    /// Gives the wiring of neuron `i` to neuron `order[i]`, names staying where they are.
    pub(super) fn exchange(&mut self, order: &[usize]) {
        let moved = |lists: &[Vec<(usize, f64)>]| {
            let mut found = vec![Vec::new(); lists.len()];
            for (to, list) in lists.iter().enumerate() {
                found[order[to]] =
                    list.iter().map(|&(from, weight)| (order[from], weight)).collect();
            }
            found
        };
        self.chemical = moved(&self.chemical);
        self.electrical = moved(&self.electrical);
        let signs = self.sign.clone();
        for (neuron, sign) in signs.into_iter().enumerate() {
            self.sign[order[neuron]] = sign;
        }
    }

    /// One row for each neuron, with what the connectome knows of it, as imported worms have it.
    pub(super) fn units(&self) -> Table {
        let count = self.neurons();
        let numbers = Column::U32((0..count as u32).collect());
        let base = Table::new()
            .with("unit", numbers.clone())
            .with("site", Column::Text(vec!["brain".to_owned(); count]))
            .with("index", numbers)
            .with("name", Column::Text(self.names.clone()));
        let known = [
            ("type", "type"),
            ("class", "class"),
            ("neurotransmitter", "transmitter"),
            ("x", "x"),
            ("y", "y"),
            ("z", "z"),
        ];
        let table = known.into_iter().fold(base, |table, (from, to)| match self.nodes.get(from) {
            Some(column) => table.with(to, column.clone()),
            None => table,
        });
        table
            .with("labelled", Column::Bool(vec![true; count]))
            .with("inhibitory", Column::Bool(self.sign.iter().map(|&sign| sign < 0.0).collect()))
    }

    /// The wiring as a graph: chemical weights have the sign of their source.
    ///
    /// # Errors
    /// None for wiring that was made from a graph.
    pub fn graph(&self) -> Result<Graph> {
        let numbers = self.nodes.u32s("node")?;
        let mut edges: Vec<(u32, u32, &str, f64)> = Vec::new();
        for (lists, kind) in [(&self.chemical, "chemical"), (&self.electrical, "electrical")] {
            for (to, list) in lists.iter().enumerate() {
                for &(from, weight) in list {
                    let sign = if kind == "chemical" { self.sign[from] } else { 1.0 };
                    edges.push((numbers[from], numbers[to], kind, sign * weight));
                }
            }
        }
        let table = Table::new()
            .with("source", Column::U32(edges.iter().map(|edge| edge.0).collect()))
            .with("target", Column::U32(edges.iter().map(|edge| edge.1).collect()))
            .with("type", Column::Text(edges.iter().map(|edge| edge.2.to_owned()).collect()))
            .with("weight", Column::F64(edges.iter().map(|edge| edge.3).collect()));
        Graph::new(self.nodes.clone(), table, Orientation::Directed)
    }
}
