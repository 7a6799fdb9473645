//! The look: colours of both themes, style sheet and script.
//!
//! The colours are a table, so that the test below measures the contrast of what is shipped.

/// A named colour in both themes.
pub(super) struct Colour {
    pub(super) name: &'static str,
    pub(super) light: &'static str,
    pub(super) dark: &'static str,
}

const fn colour(name: &'static str, light: &'static str, dark: &'static str) -> Colour {
    Colour { name, light, dark }
}

/// Every colour of a report.
pub(super) const COLOURS: &[Colour] = &[
    colour("ground", "#FBFAF7", "#14171C"),
    colour("panel", "#FFFFFF", "#1C2027"),
    colour("line", "#DAD7CF", "#323843"),
    colour("ink", "#1B1F24", "#E6E8EB"),
    colour("muted", "#59616B", "#9AA4AF"),
    colour("accent", "#462494", "#8B86F0"),
    colour("warm", "#B5530A", "#F0A030"),
    colour("warm-fill", "#F0A030", "#9A5200"),
    colour("cool", "#1F5FA8", "#6AA9E0"),
    colour("cool-fill", "#5C9BD6", "#1D5C97"),
    colour("ok", "#1F6B43", "#6CC79A"),
    colour("warn", "#9A5B00", "#E0A84A"),
    colour("bad", "#A3262A", "#F08A86"),
    colour("group-1", "#181D87", "#34698C"),
    colour("group-2", "#2F837F", "#6FBCAD"),
    colour("group-3", "#3F2551", "#8082F7"),
    colour("group-4", "#7A7CF0", "#C94363"),
    colour("group-5", "#7F64AB", "#CF7B26"),
    colour("group-6", "#894C06", "#D0EE5F"),
    colour("group-7", "#B0815A", "#DAB0FA"),
    colour("group-8", "#C8741D", "#F9B379"),
];

/// Colours that tell series apart; more series repeat them with dashes.
pub(super) const GROUPS: usize = 8;

/// Steps of a token's highlight, from faint to full.
pub(super) const LEVELS: usize = 10;

/// The script: sorts tables and opens folded parts for printing; the page is whole without it.
pub(super) const SCRIPT: &str = include_str!("script.js");

const RULES: &str = include_str!("style.css");

/// The style sheet.
pub(super) fn sheet() -> String {
    let theme = |pick: fn(&Colour) -> &'static str| -> String {
        let named = COLOURS.iter().map(|colour| format!("--{}:{};", colour.name, pick(colour)));
        named.collect::<Vec<_>>().concat()
    };
    let light = theme(|colour| colour.light);
    let dark = theme(|colour| colour.dark);
    let tokens = (1..=LEVELS).map(|level| {
        let share = 100 * level / LEVELS;
        let rule = |class: char, fill: &str| {
            format!(
                ".{class}{level}{{background:color-mix(in srgb,var(--{fill}-fill) {share}%,\
                 var(--panel))}}\n"
            )
        };
        rule('p', "warm") + &rule('n', "cool")
    });
    let series = (1..=GROUPS).map(|group| {
        format!(".g{group}{{stroke:var(--group-{group});--mark:var(--group-{group})}}\n")
    });
    let steps: Vec<String> = tokens.chain(series).collect();
    format!(
        ":root{{color-scheme:light dark;{light}}}\n\
         @media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{RULES}{}",
        steps.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rgb = [f64; 3];

    fn rgb(hex: &str) -> Rgb {
        [1, 3, 5].map(|at| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("a colour")))
    }

    fn named(name: &str, pick: fn(&Colour) -> &'static str) -> Rgb {
        rgb(pick(COLOURS.iter().find(|colour| colour.name == name).expect("a colour of ours")))
    }

    /// WCAG 2, relative luminance and contrast ratio.
    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let luminance = |colour: Rgb| {
            let [red, green, blue] = colour.map(|channel| {
                let part = channel / 255.0;
                if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    type Theme = (&'static str, fn(&Colour) -> &'static str);

    const THEMES: [Theme; 2] = [("light", |colour| colour.light), ("dark", |colour| colour.dark)];

    #[test]
    fn the_measure_knows_its_ends() {
        let (black, white) = ([0.0; 3], [255.0; 3]);
        assert!((contrast(black, white) - 21.0).abs() < 1e-9);
        assert!((contrast(white, white) - 1.0).abs() < 1e-9);
        // A pair that is too faint must be seen as such.
        assert!(contrast(rgb("#999999"), white) < 4.5);
    }

    #[test]
    fn text_can_be_read_in_both_themes() {
        for (theme, pick) in THEMES {
            for ground in ["ground", "panel"] {
                for text in ["ink", "muted", "accent", "warm", "cool", "ok", "warn", "bad"] {
                    let ratio = contrast(named(text, pick), named(ground, pick));
                    assert!(ratio >= 4.5, "{theme}: {text} on {ground} has {ratio:.2}");
                }
            }
        }
    }

    #[test]
    fn highlighted_tokens_can_be_read_at_every_level() {
        for (theme, pick) in THEMES {
            let (ink, panel) = (named("ink", pick), named("panel", pick));
            for fill in ["warm-fill", "cool-fill"] {
                for level in 1..=LEVELS {
                    let share = level as f64 / LEVELS as f64;
                    let full = named(fill, pick);
                    let mixed = std::array::from_fn(|channel| {
                        share * full[channel] + (1.0 - share) * panel[channel]
                    });
                    let ratio = contrast(ink, mixed);
                    assert!(ratio >= 4.5, "{theme}: {fill} {level} has {ratio:.2}");
                }
            }
        }
    }

    #[test]
    fn lines_of_a_drawing_can_be_seen() {
        for (theme, pick) in THEMES {
            for group in 1..=GROUPS {
                let ratio = contrast(named(&format!("group-{group}"), pick), named("ground", pick));
                assert!(ratio >= 3.0, "{theme}: group {group} has {ratio:.2}");
            }
        }
    }

    #[test]
    fn the_sheet_names_only_colours_that_exist() {
        let sheet = sheet();
        for used in sheet.split("var(--").skip(1) {
            let name = used.split(')').next().expect("a name");
            let known = name == "mark" || COLOURS.iter().any(|colour| colour.name == name);
            assert!(known, "{name}");
        }
        assert!(sheet.len() < 16_000);
    }
}
