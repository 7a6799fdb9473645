//! Graphs as attribution-graph JSON, which circuit viewers read.
//!
//! Source: the layout of circuit-tracer's graph files, schema version 1.
//! Columns of the node table that are used where present: `layer` (u32 or string), `feature` u32,
//! `position` u32, `influence`, `activation` and `token_prob` f32 or f64. A node's `kind` is its
//! type and its `name` the label.

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
    pub node_threshold: Option<f64>,
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
            nodes.push(json!({
                "node_id": id,
                "feature": shown,
                "layer": layer,
                "ctx_idx": place,
                "feature_type": kind,
                "token_prob": if probability.is_null() { json!(0.0) } else { probability },
                "is_target_logit": false,
                "run_idx": 0,
                "reverse_ctx_idx": positions.saturating_sub(place as usize + 1),
                "jsNodeId": format!("{layer}_{index}-{same}"),
                "clerp": names[row],
                "influence": number("influence"),
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
