//! How text and numbers are written for a reader.

use std::borrow::Cow;

/// Appends `text` with markup escaped and control characters as glyphs.
///
/// `/`, `=` and `@` are escaped as well: whatever the text, the file then holds no address, no
/// attribute and no style import that a careless reader of the markup could follow.
pub(super) fn escape_into(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '/' => out.push_str("&#47;"),
            '=' => out.push_str("&#61;"),
            '@' => out.push_str("&#64;"),
            '\n' => out.push('↵'),
            '\t' => out.push('⇥'),
            '\u{7f}' => out.push('␡'),
            '\0'..='\u{1f}' => {
                out.push(char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}'));
            }
            hidden if is_hidden(hidden) => {
                out.extend(["⟨U+", &format!("{:04X}", hidden as u32), "⟩"]);
            }
            plain => out.push(plain),
        }
    }
}

/// Whether a character changes the text around it, or cannot be seen; joiners that scripts and
/// emoji need are not meant.
fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fdd0}'..='\u{fdef}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    ) || (character as u32) & 0xfffe == 0xfffe
}

/// `text`, cut to `longest` characters with a note of how long it was.
pub(super) fn shorten(text: &str, longest: usize) -> Cow<'_, str> {
    match text.char_indices().nth(longest) {
        None => Cow::Borrowed(text),
        Some((end, _)) => {
            let all = grouped(text.chars().count() as u64);
            Cow::Owned(format!("{}… ({all} characters)", &text[..end]))
        }
    }
}

/// A whole number with thin spaces between thousands.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}

/// A number for a reader: whole numbers whole, others to three significant digits, a true minus
/// sign, thin spaces between thousands, a dash for NaN.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "–".to_owned();
    }
    let sign = if value < 0.0 { "−" } else { "" };
    let size = value.abs();
    if size.is_infinite() {
        return format!("{sign}∞");
    }
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return format!("{sign}{}", scientific(size));
    }
    if size.fract() == 0.0 || size >= 999.5 {
        let whole = grouped(size.round() as u64);
        return format!("{sign}{whole}");
    }
    let decimals = (2.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{sign}{size:.decimals$}")
}

/// A number with its sign, `+` included.
pub fn signed(value: f64) -> String {
    let text = number(value);
    if value > 0.0 { format!("+{text}") } else { text }
}

/// A score: always three decimals, so that a column of them lines up.
pub fn score(value: f64) -> String {
    if value.is_nan() {
        return number(value);
    }
    format!("{value:.3}").replace('-', "−")
}

fn scientific(size: f64) -> String {
    let text = format!("{size:.2e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{digits} × 10{}", superscript(power))
}

/// An exponent in raised digits.
pub(super) fn superscript(power: &str) -> String {
    power
        .chars()
        .map(|character| match character {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            digit @ ('0' | '4'..='9') => {
                char::from_u32(0x2070 + digit as u32 - '0' as u32).unwrap_or(digit)
            }
            other => other,
        })
        .collect()
}

/// A duration in the unit that suits it.
pub fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 1.0 => format!("{} ms", number((short * 1000.0).round())),
        long if long >= 7200.0 => format!("{} h", number(long / 3600.0)),
        middle if middle >= 120.0 => format!("{} min", number(middle / 60.0)),
        other => format!("{} s", number(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        escape_into(&mut out, text);
        out
    }

    #[test]
    fn numbers_read_as_the_design_says() {
        let expected = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (0.812_34, "0.812"),
            (-6.204, "−6.20"),
            (0.012_345, "0.0123"),
            (1_204.0, "1\u{2009}204"),
            (1_234_567.8, "1\u{2009}234\u{2009}568"),
            (999.6, "1\u{2009}000"),
            (0.000_012_34, "1.23 × 10⁻⁵"),
            (f64::NAN, "–"),
            (f64::NEG_INFINITY, "−∞"),
        ];
        for (value, text) in expected {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!(signed(2.1), "+2.10");
        assert_eq!(signed(-2.1), "−2.10");
        assert_eq!(score(0.8), "0.800");
        assert_eq!(duration(0.0421), "42 ms");
        assert_eq!(duration(3700.0), "61.7 min");
    }

    #[test]
    fn what_cannot_be_seen_becomes_a_glyph() {
        assert_eq!(escaped("a\0b\nc\td\u{1b}[31m"), "a␀b↵c⇥d␛[31m");
        assert_eq!(escaped("x\u{202e}y\u{2066}z\u{feff}"), "x⟨U+202E⟩y⟨U+2066⟩z⟨U+FEFF⟩");
        assert_eq!(escaped("\u{ffff}\u{9b}"), "⟨U+FFFF⟩⟨U+009B⟩");
        assert_eq!(escaped("می\u{200c}خواهم 👩\u{200d}🔬"), "می\u{200c}خواهم 👩\u{200d}🔬");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äöü… (4 characters)");
    }
}
