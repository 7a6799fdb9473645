//! Writes HTML that is balanced and escaped by construction.
//!
//! Markup enters only through [`Html::node`], so a tag cannot stay open; text and attribute values
//! are always escaped, far enough that no address and no `src` attribute can be spelt in the file.

use super::text::{escape_into, shorten};

/// Names and values of attributes.
pub(super) type Attributes<'a> = &'a [(&'a str, &'a str)];

/// The longest token shown, in characters.
const LONGEST_TOKEN: usize = 120;

/// The longest other text shown, in characters.
const LONGEST_TEXT: usize = 20_000;

/// An HTML document that grows at its end.
#[derive(Default)]
pub(super) struct Html {
    out: String,
}

impl Html {
    /// The document.
    pub(super) fn finish(self) -> String {
        self.out
    }

    /// An element with what `inside` writes.
    pub(super) fn node(
        &mut self,
        tag: &str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.start(tag, attributes);
        inside(self);
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
    }

    /// An element that holds only text.
    pub(super) fn leaf(&mut self, tag: &str, attributes: Attributes<'_>, text: &str) {
        self.node(tag, attributes, |html| html.text(text));
    }

    /// An element of a drawing, which holds nothing.
    pub(super) fn shape(&mut self, tag: &str, attributes: Attributes<'_>) {
        self.node(tag, attributes, |_| {});
    }

    /// An element of a drawing that shows `title` under the pointer.
    pub(super) fn titled(&mut self, tag: &str, attributes: Attributes<'_>, title: &str) {
        self.node(tag, attributes, |html| html.leaf("title", &[], title));
    }

    /// A `meta` element, which has no end tag.
    pub(super) fn meta(&mut self, attributes: Attributes<'_>) {
        self.start("meta", attributes);
    }

    /// A place where a long line may break, if it must.
    pub(super) fn space(&mut self) {
        self.out.push(' ');
    }

    /// Text, escaped, with control characters as glyphs.
    pub(super) fn text(&mut self, text: &str) {
        escape_into(&mut self.out, &shorten(text, LONGEST_TEXT));
    }

    /// Text in which words between backticks are set as code.
    pub(super) fn rich(&mut self, text: &str) {
        let code_is_closed = text.matches('`').count().is_multiple_of(2);
        for (index, part) in text.split('`').enumerate() {
            match index % 2 {
                0 => self.text(part),
                _ if code_is_closed => self.leaf("code", &[], part),
                _ => {
                    self.out.push('`');
                    self.text(part);
                }
            }
        }
    }

    /// A token, isolated so that its writing direction stays its own; leading blanks stand outside.
    pub(super) fn token(&mut self, token: &str, attributes: Attributes<'_>) {
        let bare = token.trim_start_matches(' ');
        if bare.len() < token.len() {
            self.space();
        }
        if !bare.is_empty() {
            self.leaf("bdi", attributes, &shorten(bare, LONGEST_TOKEN));
        }
    }

    /// A token by itself, where blanks at its edges would be lost: they are shown as `␣`.
    pub(super) fn lone_token(&mut self, token: &str, class: &str) {
        let bare = token.trim_matches(' ');
        let before = token.len() - token.trim_start_matches(' ').len();
        let after = token.len() - before - bare.len();
        let (before, after) = if bare.is_empty() { (token.len(), 0) } else { (before, after) };
        let blanks = |count: usize| "␣".repeat(count.min(4));
        let shown = format!("{}{}{}", blanks(before), shorten(bare, LONGEST_TOKEN), blanks(after));
        self.leaf("bdi", &[("class", class)], &shown);
    }

    /// Text that is already markup, style or script of this crate.
    pub(super) fn own(&mut self, trusted: &str) {
        self.out.push_str(trusted);
    }

    fn start(&mut self, tag: &str, attributes: Attributes<'_>) {
        self.out.push('<');
        self.out.push_str(tag);
        for (name, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape_into(&mut self.out, &shorten(value, LONGEST_TEXT));
            self.out.push('"');
        }
        self.out.push('>');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Html)) -> String {
        let mut html = Html::default();
        write(&mut html);
        html.finish()
    }

    #[test]
    fn an_attribute_cannot_be_left() {
        let html = written(|html| html.leaf("p", &[("title", "\" onclick=\"x")], "a"));
        assert_eq!(html, "<p title=\"&quot; onclick&#61;&quot;x\">a</p>");
    }

    #[test]
    fn blanks_of_tokens_stay_visible_or_outside() {
        assert_eq!(written(|html| html.token(" red", &[])), " <bdi>red</bdi>");
        assert_eq!(written(|html| html.token(" ", &[])), " ");
        assert_eq!(written(|html| html.lone_token(" a ", "t")), "<bdi class=\"t\">␣a␣</bdi>");
        assert_eq!(written(|html| html.lone_token("  ", "t")), "<bdi class=\"t\">␣␣</bdi>");
        assert_eq!(written(|html| html.lone_token("", "t")), "<bdi class=\"t\"></bdi>");
    }

    #[test]
    fn backticks_set_code_only_in_pairs() {
        assert_eq!(written(|html| html.rich("run `a b` now")), "run <code>a b</code> now");
        assert_eq!(written(|html| html.rich("a `lone tick")), "a `lone tick");
        assert_eq!(written(|html| html.rich("`<b>`")), "<code>&lt;b&gt;</code>");
    }
}
