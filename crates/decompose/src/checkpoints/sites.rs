//! What makers call the places in a network, and what they are called here.

use nissl_core::site::Site;

/// The places within a layer as TransformerLens calls them, the first the name that is written.
const HOOKS: [(&str, &str); 17] = [
    ("hook_resid_pre", "resid.pre"),
    ("hook_resid_mid", "resid.mid"),
    ("hook_resid_post", "resid.post"),
    ("hook_attn_out", "attn.out"),
    ("attn.hook_q", "attn.q"),
    ("attn.hook_k", "attn.k"),
    ("attn.hook_v", "attn.v"),
    ("attn.hook_pattern", "attn.pattern"),
    ("attn.hook_z", "attn.z"),
    ("hook_mlp_out", "mlp.out"),
    ("mlp.hook_out", "mlp.out"),
    ("ln2.hook_normalized", "mlp.in"),
    ("mlp.hook_in", "mlp.in"),
    ("hook_mlp_in", "resid.mid"),
    ("mlp.hook_pre", "mlp.pre"),
    ("mlp.hook_post", "mlp.act"),
    ("mlp.hook_mid", "mlp.act"),
];
/// Places outside the layers.
const OUTSIDE: [(&str, &str); 9] = [
    ("hook_embed", "embed"),
    ("ln_final.hook_normalized", "final.norm"),
    ("embed_tokens", "embed"),
    ("embed_in", "embed"),
    ("wte", "embed"),
    ("embed", "embed"),
    ("norm", "final.norm"),
    ("final_layer_norm", "final.norm"),
    ("ln_f", "final.norm"),
];
/// Modules of a layer whose output is a site.
const MODULES: [(&str, &str); 8] = [
    ("", "resid.post"),
    ("mlp", "mlp.out"),
    ("attn", "attn.out"),
    ("attention", "attn.out"),
    ("self_attn", "attn.out"),
    ("self_attention", "attn.out"),
    ("mlp.act", "mlp.act"),
    ("mlp.act_fn", "mlp.act"),
];
/// What submodules of dictionary_learning begin with, before `_layer_N`.
const SUBMODULES: [(&str, &str); 6] = [
    ("resid_post", "resid.post"),
    ("resid_pre", "resid.pre"),
    ("resid", "resid.post"),
    ("mlp_out", "mlp.out"),
    ("mlp", "mlp.out"),
    ("attention_out", "attn.out"),
];

/// The site that a maker's `name` stands for.
pub(super) fn of_hook(name: &str) -> Option<Site> {
    let name = name.trim_matches('.');
    let find = |list: &[(&str, &str)], wanted: &str| {
        list.iter().find(|(name, _)| *name == wanted).map(|(_, part)| (*part).to_owned())
    };
    if let Some(rest) = name.strip_prefix("blocks.") {
        let (layer, hook) = rest.split_once('.')?;
        return layer_site(layer, &find(&HOOKS, hook)?);
    }
    if let Some((kind, layer)) = name.rsplit_once("_layer_") {
        return layer_site(layer, &find(&SUBMODULES, kind)?);
    }
    let mut bare = name;
    for prefix in ["model.", "language_model.", "transformer.", "gpt_neox."] {
        bare = bare.strip_prefix(prefix).unwrap_or(bare);
    }
    if let Some(rest) = bare.strip_prefix("layers.").or_else(|| bare.strip_prefix("h.")) {
        let (layer, module) = rest.split_once('.').unwrap_or((rest, ""));
        let own = HOOKS.iter().find(|(_, part)| *part == module).map(|(_, part)| *part);
        return layer_site(layer, &find(&MODULES, module).or(own.map(str::to_owned))?);
    }
    find(&OUTSIDE, bare).map(Site::new)
}

/// The places a transcoder reads and predicts, from the names that its maker gives them; one that is only
/// said to belong to an MLP reads that MLP's input.
pub(super) fn of_transcoder(
    input: Option<&str>,
    output: Option<&str>,
) -> (Option<Site>, Vec<Site>) {
    let site = input.and_then(of_hook);
    let target = output.and_then(of_hook);
    match (site, target) {
        (Some(site), None) if site.part() == "mlp.out" => (beside(&site, "mlp.in"), vec![site]),
        (Some(site), None) if site.part() == "mlp.in" => {
            let target = beside(&site, "mlp.out");
            (Some(site), target.into_iter().collect())
        }
        (Some(site), Some(target)) if site == target && site.part() == "mlp.out" => {
            (beside(&site, "mlp.in"), vec![target])
        }
        (site, target) => (site, target.into_iter().collect()),
    }
}

/// What TransformerLens calls a site.
pub(super) fn to_hook(site: &Site) -> Option<String> {
    let list: &[(&str, &str)] = if site.layer().is_some() { &HOOKS } else { &OUTSIDE };
    let (hook, _) = list.iter().find(|(_, part)| *part == site.part())?;
    Some(site.layer().map_or((*hook).to_owned(), |layer| format!("blocks.{layer}.{hook}")))
}

/// Another place in the same layer.
fn beside(site: &Site, part: &str) -> Option<Site> {
    Some(Site::new(format!("layers.{}.{part}", site.layer()?)))
}

fn layer_site(layer: &str, part: &str) -> Option<Site> {
    let layer: usize = layer.parse().ok()?;
    Some(Site::new(format!("layers.{layer}.{part}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_makers_become_sites() {
        for (name, site) in [
            ("blocks.8.hook_mlp_out", "layers.8.mlp.out"),
            ("blocks.8.hook_resid_pre", "layers.8.resid.pre"),
            ("blocks.11.ln2.hook_normalized", "layers.11.mlp.in"),
            ("blocks.3.attn.hook_z", "layers.3.attn.z"),
            ("layers.4.mlp", "layers.4.mlp.out"),
            ("layers.20", "layers.20.resid.post"),
            (".model.layers.20", "layers.20.resid.post"),
            ("gpt_neox.layers.3.attention", "layers.3.attn.out"),
            ("transformer.h.5", "layers.5.resid.post"),
            ("model.layers.2.self_attn", "layers.2.attn.out"),
            ("h.5.mlp", "layers.5.mlp.out"),
            ("resid_post_layer_8", "layers.8.resid.post"),
            ("mlp_out_layer_3", "layers.3.mlp.out"),
            ("layers.6.mlp.in", "layers.6.mlp.in"),
            ("layers.6.resid.pre", "layers.6.resid.pre"),
            ("hook_embed", "embed"),
            ("gpt_neox.embed_in", "embed"),
        ] {
            assert_eq!(of_hook(name), Some(Site::new(site)), "{name}");
        }
        for name in ["", "blocks.8", "blocks.x.hook_mlp_out", "layers.1.nothing", "cat", "layers."]
        {
            assert_eq!(of_hook(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_are_written_are_read_back() {
        for part in ["resid.pre", "mlp.in", "mlp.out", "attn.z", "mlp.act", "attn.out"] {
            let site = Site::new(format!("layers.7.{part}"));
            assert_eq!(of_hook(&to_hook(&site).expect(part)), Some(site));
        }
        assert_eq!(to_hook(&Site::new("embed")).as_deref(), Some("hook_embed"));
        assert_eq!(to_hook(&Site::new("layers.7.nowhere")), None);
    }

    #[test]
    fn a_transcoder_of_an_mlp_reads_its_input() {
        let (site, targets) = of_transcoder(Some("layers.4.mlp"), None);
        assert_eq!(site, Some(Site::new("layers.4.mlp.in")));
        assert_eq!(targets, [Site::new("layers.4.mlp.out")]);
        let (site, targets) =
            of_transcoder(Some("blocks.2.hook_resid_mid"), Some("blocks.2.hook_mlp_out"));
        assert_eq!(site, Some(Site::new("layers.2.resid.mid")));
        assert_eq!(targets, [Site::new("layers.2.mlp.out")]);
    }
}
