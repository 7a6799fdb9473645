//! The document around the sections: head, policy, contents, verdict.

use super::html::Html;
use super::{Report, Section, Verdict, style};

/// The whole file of `report`.
pub(super) fn document(report: &Report) -> String {
    let mut html = Html::default();
    html.own("<!doctype html>\n");
    html.node("html", &[("lang", "en")], |html| {
        let sheet = style::sheet();
        html.node("head", &[], |html| head(html, report, &sheet));
        html.own("\n");
        html.node("body", &[], |html| {
            body(html, report);
            html.node("script", &[], |html| html.own(style::SCRIPT));
        });
    });
    html.own("\n");
    html.finish()
}

fn head(html: &mut Html, report: &Report, sheet: &str) {
    // Nothing may be fetched, and only this style and this script run, whatever a text contains.
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        checksum(sheet),
        checksum(style::SCRIPT)
    );
    html.own("<meta charset=\"utf-8\">");
    html.meta(&[("http-equiv", "Content-Security-Policy"), ("content", &policy)]);
    html.meta(&[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    html.meta(&[("name", "color-scheme"), ("content", "light dark")]);
    html.leaf("title", &[], &report.title);
    html.node("style", &[], |html| html.own(sheet));
}

fn body(html: &mut Html, report: &Report) {
    let has_contents = report.sections.len() > 2;
    let frame = if has_contents { "frame railed" } else { "frame" };
    html.node("div", &[("class", frame)], |html| {
        html.node("div", &[("class", "top")], |html| {
            html.node("p", &[("class", "brand")], |html| {
                html.leaf("b", &[], "nissl");
                html.text(" · report");
            });
            html.leaf("h1", &[], &report.title);
            html.node("p", &[("class", "lede")], |html| html.rich(&report.lede));
            if let Some(verdict) = &report.verdict {
                outcome(html, verdict);
            }
        });
        if has_contents {
            contents(html, &report.sections);
        }
        html.own("\n");
        html.node("main", &[], |html| {
            for (index, part) in report.sections.iter().enumerate() {
                section(html, index + 1, part);
            }
        });
        html.own("\n");
        html.node("footer", &[], |html| {
            html.text(concat!(
                "Made by nissl ",
                env!("CARGO_PKG_VERSION"),
                ". This file is complete: it loads nothing and sends nothing."
            ));
        });
    });
}

fn outcome(html: &mut Html, verdict: &Verdict) {
    let (class, word) = if verdict.pass { ("ok", "✓ pass") } else { ("bad", "✗ fail") };
    html.node("div", &[("class", "verdict")], |html| {
        html.leaf("strong", &[("class", class)], word);
        html.node("p", &[], |html| html.rich(&verdict.says));
    });
}

fn contents(html: &mut Html, sections: &[Section]) {
    html.own("\n");
    html.node("nav", &[("aria-label", "Contents")], |html| {
        html.node("ol", &[], |html| {
            for (index, section) in sections.iter().enumerate() {
                html.node("li", &[], |html| {
                    let target = format!("#s{}", index + 1);
                    html.leaf("a", &[("href", &target)], &section.title);
                });
            }
        });
    });
}

fn section(html: &mut Html, number: usize, section: &Section) {
    html.own("\n");
    let (id, title_id) = (format!("s{number}"), format!("s{number}-title"));
    html.node("section", &[("id", &id), ("aria-labelledby", &title_id)], |html| {
        html.leaf("h2", &[("id", &title_id)], &section.title);
        for paragraph in &section.paragraphs {
            html.node("p", &[], |html| html.rich(paragraph));
        }
        for block in &section.blocks {
            html.own("\n");
            block.write(html);
        }
    });
}

/// SHA-256 of `text` in base64, as a content security policy names it.
fn checksum(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let hexadecimal = nissl_core::store::sha256_bytes(text.as_bytes());
    let bytes: Vec<u32> = (0..hexadecimal.len() / 2)
        .filter_map(|index| u32::from_str_radix(&hexadecimal[2 * index..2 * index + 2], 16).ok())
        .collect();
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | byte) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_policy() {
        // SHA-256 of nothing, as known from the standard's tables.
        assert_eq!(checksum(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
