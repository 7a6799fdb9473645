//! Graphs as attribution-graph JSON, which circuit viewers read.
//!
//! Source: the layout of circuit-tracer's graph files, schema version 1, and the JSON schema of
//! Neuronpedia's graphs. Addresses are `layer_feature_position`, of tokens `E_vocabulary_position`.
//! Differs: errors are `layer_-1_position`, as circuit-tracer writes since its issue 78; the older
//! `0_layer_position` is also the address of a feature of layer 0.
//! Columns of the node table that are used where present: `layer` (u32 or string), `feature` u32 (of
//! tokens and logits the vocabulary index), `position` u32, `influence`, `cumulative_influence`,
//! `activation` and `token_prob` f32 or f64, `target` bool. A node's `kind` is its type and its `name`
//! the label. Viewers prune by `influence` below `node_threshold`: it is the cumulative one if there.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Graph, Orientation};
use crate::error::{Error, Result};
use crate::table::Column;

/// What a viewer shows about the whole graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AttributionMetadata {
    /// A short name, unique among graphs.
    pub slug: String,
    /// The network, by the name under which the viewer knows it.
    pub scan: String,
    /// The dictionaries whose features are the nodes.
    pub transcoder_list: Vec<String>,
    /// The prompt in pieces `[position]`.
    pub prompt_tokens: Vec<String>,
    /// The whole prompt.
    pub prompt: String,
    /// The fraction of influence that the kept nodes carry, 0 to 1, when nodes were pruned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_threshold: Option<f64>,
    /// The fraction of influence that the kept edges carry, 0 to 1, when edges were pruned.
    #[serde(skip)]
    pub edge_threshold: Option<f64>,
}

/// The largest whole number that viewers keep exactly.
const EXACT: u128 = 1 << 53;

impl Graph {
    /// Writes the graph as attribution-graph JSON.
    ///
    /// # Errors
    /// An undirected graph, columns of another type, or a writer that fails.
    pub fn to_attribution_json(
        &self,
        metadata: &AttributionMetadata,
        mut writer: impl Write,
    ) -> Result<()> {
        if self.orientation == Orientation::Undirected {
            return Err(Error::setting("orientation", "undirected", "directed edges"));
        }
        let nodes = self.viewer_nodes(metadata.prompt_tokens.len())?;
        let failed = |error: serde_json::Error| {
            Error::io("attribution graph", "write", std::io::Error::from(error))
        };
        let ids = nodes.iter().map(|node| node["node_id"].as_str().unwrap_or_default());
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        let links: Vec<Value> = self
            .links()
            .map(|(source, target, weight)| {
                let (source, target) = (&ids[self.rows[&source]], &ids[self.rows[&target]]);
                json!({"source": source, "target": target, "weight": weight})
            })
            .collect();
        let mut about = serde_json::to_value(metadata).map_err(failed)?;
        about["schema_version"] = json!(1);
        about["info"] = json!({
            "generator": {"name": "nissl", "version": env!("CARGO_PKG_VERSION")}
        });
        let mut pruning = serde_json::Map::new();
        let thresholds = [
            ("node_threshold", metadata.node_threshold),
            ("edge_threshold", metadata.edge_threshold),
        ];
        for (name, threshold) in thresholds {
            if let Some(threshold) = threshold {
                pruning.insert(name.to_owned(), json!(threshold));
            }
        }
        if !pruning.is_empty() {
            about["pruning_settings"] = Value::Object(pruning);
        }
        let whole = json!({
            "metadata": about,
            "qParams": {
                "pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""
            },
            "nodes": nodes,
            "links": links,
        });
        serde_json::to_writer(&mut writer, &whole).map_err(failed)
    }

    fn viewer_nodes(&self, positions: usize) -> Result<Vec<Value>> {
        let numbers = self.nodes.u32s("node")?;
        let (kinds, names) = (self.nodes.texts("kind")?, self.nodes.texts("name")?);
        let column = |name: &str| self.nodes.get(name).map(|_| self.nodes.u32s(name)).transpose();
        let (features, places) = (column("feature")?, column("position")?);
        let targets = self.nodes.get("target").map(|_| self.nodes.bools("target")).transpose()?;
        let layers: Option<Vec<String>> = match self.nodes.get("layer") {
            None => None,
            Some(Column::Text(names)) => Some(names.clone()),
            Some(Column::U32(numbers)) => Some(numbers.iter().map(ToString::to_string).collect()),
            Some(other) => {
                return Err(Error::setting("layer", other.kind(), "u32 or string"));
            }
        };
        let mut taken = HashSet::new();
        let mut nodes = Vec::with_capacity(numbers.len());
        for (row, &node) in numbers.iter().enumerate() {
            let layer = match &layers {
                Some(layers) => layers[row].clone(),
                None if viewer_type(&kinds[row]) == "embedding" => "E".to_owned(),
                None => "0".to_owned(),
            };
            let feature = features.map_or(node, |features| features[row]);
            let place = places.map_or(0, |places| places[row]);
            let kind = viewer_type(&kinds[row]);
            let index =
                if kind == "mlp reconstruction error" { "-1".into() } else { feature.to_string() };
            let mut id = format!("{layer}_{index}_{place}");
            if !taken.insert(id.clone()) {
                // Two nodes of one address, as several samples in one graph: the number parts them.
                id = format!("{layer}_{index}_{place}_{node}");
                while !taken.insert(id.clone()) {
                    id.push('_');
                }
            }
            let shown = match kind {
                "mlp reconstruction error" => json!(-1),
                "cross layer transcoder" => json!(paired(&layer, feature)),
                "embedding" => json!(place),
                _ => json!(feature),
            };
            let same = if kind == "cross layer transcoder" { 0 } else { place };
            let number = |name: &str| match self.nodes.get(name) {
                Some(Column::F32(values)) => json!(values[row]),
                Some(Column::F64(values)) => json!(values[row]),
                _ => Value::Null,
            };
            let probability = number("token_prob");
            let probability = if probability.is_null() { json!(0.0) } else { probability };
            let cumulative = number("cumulative_influence");
            let influence = if cumulative.is_null() { number("influence") } else { cumulative };
            // Viewers read a logit's token and probability out of its label.
            let label = match kind {
                "logit" if !names[row].starts_with("Output \"") => {
                    let probability = probability.as_f64().unwrap_or(0.0);
                    format!("Output \"{}\" (p={probability:.3})", names[row])
                }
                _ => names[row].clone(),
            };
            let js = if kind == "logit" { "L" } else { layer.as_str() };
            nodes.push(json!({
                "node_id": id,
                "feature": shown,
                "layer": layer,
                "ctx_idx": place,
                "feature_type": kind,
                "token_prob": probability,
                "is_target_logit": targets.is_some_and(|targets| targets[row]),
                "run_idx": 0,
                "reverse_ctx_idx": positions.saturating_sub(place as usize + 1),
                "jsNodeId": format!("{js}_{index}-{same}"),
                "clerp": label,
                "influence": influence,
                "activation": number("activation"),
            }));
        }
        Ok(nodes)
    }

    /// Writes the attribution-graph JSON to a file, aside until it is whole.
    ///
    /// # Errors
    /// As [`Self::to_attribution_json`], or a failed file operation.
    pub fn save_attribution_json(&self, metadata: &AttributionMetadata, path: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        self.to_attribution_json(metadata, &mut bytes)?;
        crate::store::write_bytes(path, &bytes)
    }
}

/// The viewers' word for a kind of node; other kinds keep their own.
fn viewer_type(kind: &str) -> &str {
    match kind {
        "feature" => "cross layer transcoder",
        "error" => "mlp reconstruction error",
        "token" => "embedding",
        other => other,
    }
}

/// Layer and feature in one number by Cantor's pairing, where viewers can hold it.
fn paired(layer: &str, feature: u32) -> u64 {
    let plain = u64::from(feature);
    let Ok(layer) = layer.parse::<u32>() else { return plain };
    let sum = u128::from(layer) + u128::from(feature);
    let pair = sum * (sum + 1) / 2 + u128::from(feature);
    if pair < EXACT { pair as u64 } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    /// Two features, an error, two tokens and two logits of a network of two layers.
    fn sample() -> Graph {
        let text = |words: &[&str]| Column::Text(words.iter().map(|&w| w.to_owned()).collect());
        let kinds = ["feature", "feature", "error", "token", "token", "logit", "logit"];
        let nodes = Table::new()
            .with("node", Column::U32((0..7).collect()))
            .with("kind", text(&kinds))
            .with("name", text(&["one", "", "", "The", " cat", " sat", " ran"]))
            .with("layer", text(&["0", "1", "1", "E", "E", "3", "3"]))
            .with("feature", Column::U32(vec![1, 40, 0, 464, 99, 7, 8]))
            .with("position", Column::U32(vec![1, 1, 1, 0, 1, 1, 1]))
            .with("influence", Column::F64(vec![0.5, 0.25, 0.1, 0.1, 0.05, f64::NAN, f64::NAN]))
            .with(
                "cumulative_influence",
                Column::F64(vec![0.5, 0.75, 0.85, 0.95, 1.0, f64::NAN, f64::NAN]),
            )
            .with("activation", Column::F64([&[2.5, 1.0][..], &[f64::NAN; 5]].concat()))
            .with("token_prob", Column::F64([&[f64::NAN; 5][..], &[0.75, 0.2]].concat()))
            .with("target", Column::Bool((0..7).map(|node| node == 5).collect()));
        let edges = Table::new()
            .with("source", Column::U32(vec![3, 4, 0, 2, 1]))
            .with("target", Column::U32(vec![0, 0, 1, 5, 5]))
            .with("type", text(&["attribution"; 5]))
            .with("weight", Column::F64(vec![1.0, 2.0, -0.5, 0.25, 3.0]));
        Graph::new(nodes, edges, Orientation::Directed).expect("fits")
    }

    fn written(node_threshold: Option<f64>) -> Value {
        let metadata = AttributionMetadata {
            slug: "cat".to_owned(),
            scan: "tiny".to_owned(),
            transcoder_list: vec!["t".to_owned()],
            prompt_tokens: vec!["The".to_owned(), " cat".to_owned()],
            prompt: "The cat".to_owned(),
            node_threshold,
            edge_threshold: node_threshold,
        };
        let mut bytes = Vec::new();
        sample().to_attribution_json(&metadata, &mut bytes).expect("writes");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// The fields of a viewer's file: name, JSON types it may have, whether it must be there.
    type Fields = &'static [(&'static str, &'static str, bool)];

    const METADATA: Fields = &[
        ("slug", "string", true),
        ("scan", "string", true),
        ("transcoder_list", "array", true),
        ("prompt_tokens", "array", true),
        ("prompt", "string", true),
        ("node_threshold", "number", false),
        ("schema_version", "integer", false),
        ("info", "object", false),
        ("pruning_settings", "object", false),
    ];
    const PARAMETERS: Fields = &[
        ("pinnedIds", "array", true),
        ("supernodes", "array", true),
        ("linkType", "string", true),
        ("clickedId", "string", true),
        ("sg_pos", "string", true),
    ];
    const NODE: Fields = &[
        ("node_id", "string", true),
        ("feature", "integer", true),
        ("layer", "string", true),
        ("ctx_idx", "integer", true),
        ("feature_type", "string", true),
        ("token_prob", "number", true),
        ("is_target_logit", "boolean", true),
        ("run_idx", "integer", true),
        ("reverse_ctx_idx", "integer", true),
        ("jsNodeId", "string", true),
        ("clerp", "string", true),
        ("influence", "number or null", true),
        ("activation", "number or null", true),
    ];
    const LINK: Fields =
        &[("source", "string", true), ("target", "string", true), ("weight", "number", true)];

    fn has_type(value: &Value, kind: &str) -> bool {
        match kind {
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "number or null" => value.is_number() || value.is_null(),
            other => panic!("{other} is no type of the table"),
        }
    }

    fn conforms(value: &Value, fields: Fields) -> Result<(), String> {
        let object = value.as_object().ok_or("no object")?;
        for (name, kind, must) in fields {
            match object.get(*name) {
                Some(value) if has_type(value, kind) => {}
                Some(value) => return Err(format!("{name} is {value}, not {kind}")),
                None if *must => return Err(format!("{name} is missing")),
                None => {}
            }
        }
        match object.keys().find(|key| fields.iter().all(|(name, ..)| name != key)) {
            Some(key) => Err(format!("{key} is no field of the viewers")),
            None => Ok(()),
        }
    }

    #[test]
    fn every_field_is_one_that_the_viewers_read_with_its_type() {
        for threshold in [None, Some(0.8)] {
            let json = written(threshold);
            conforms(&json["metadata"], METADATA).expect("metadata");
            conforms(&json["qParams"], PARAMETERS).expect("parameters");
            for node in json["nodes"].as_array().expect("nodes") {
                conforms(node, NODE).expect("a node");
            }
            for link in json["links"].as_array().expect("links") {
                conforms(link, LINK).expect("a link");
            }
            assert_eq!(json["metadata"].get("node_threshold").is_some(), threshold.is_some());
        }
        // The measure knows what is wrong.
        assert!(conforms(&json!({"source": "a", "target": "b"}), LINK).is_err());
        assert!(conforms(&json!({"source": "a", "target": 1, "weight": 1.0}), LINK).is_err());
    }

    #[test]
    fn addresses_labels_and_numbers_are_those_of_the_viewers() {
        let json = written(Some(0.8));
        let nodes = json["nodes"].as_array().expect("nodes");
        let all = |field: &str| -> Vec<Value> { nodes.iter().map(|n| n[field].clone()).collect() };
        let ids = ["0_1_1", "1_40_1", "1_-1_1", "E_464_0", "E_99_1", "3_7_1", "3_8_1"];
        assert_eq!(all("node_id"), ids);
        let names = ["0_1-0", "1_40-0", "1_-1-1", "E_464-0", "E_99-1", "L_7-1", "L_8-1"];
        assert_eq!(all("jsNodeId"), names);
        // By Cantor's pairing (0, 1) is 2 and (1, 40) is 41 · 42 / 2 + 40; tokens tell their place.
        let features = [json!(2), json!(901), json!(-1), json!(0), json!(1), json!(7), json!(8)];
        assert_eq!(all("feature"), features);
        assert_eq!(all("is_target_logit")[4..], [json!(false), json!(true), json!(false)]);
        assert_eq!(all("clerp")[5], "Output \" sat\" (p=0.750)");
        assert_eq!(all("influence")[..3], [json!(0.5), json!(0.75), json!(0.85)]);
        assert_eq!(json["metadata"]["pruning_settings"]["edge_threshold"], 0.8);
        for link in json["links"].as_array().expect("links") {
            for end in ["source", "target"] {
                assert!(ids.contains(&link[end].as_str().expect("an address")), "{link}");
            }
        }
    }
}
