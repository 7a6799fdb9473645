//! Regular inflection of English nouns and verbs; the tables mark what is irregular.

/// Plural of a regular noun.
pub(super) fn plural_of(noun: &str) -> String {
    if hisses(noun) {
        format!("{noun}es")
    } else if let Some(stem) = consonant_y(noun) {
        format!("{stem}ies")
    } else {
        format!("{noun}s")
    }
}

/// Base, third person, past, participle and -ing form of a verb as the table writes it.
pub(super) fn verb_forms(item: &str) -> [String; 5] {
    let mut parts = item.split('/');
    let base = parts.next().unwrap_or_default();
    let (base, doubled) = match base.strip_suffix('+') {
        Some(base) => (base, &base[base.len() - 1..]),
        None => (base, ""),
    };
    let regular_past = if base.ends_with('e') {
        format!("{base}d")
    } else if let Some(stem) = consonant_y(base) {
        format!("{stem}ied")
    } else {
        format!("{base}{doubled}ed")
    };
    let past = parts.next().map_or(regular_past, str::to_owned);
    let participle = parts.next().map_or_else(|| past.clone(), str::to_owned);
    let third = match base {
        "have" => "has".to_owned(),
        "go" => "goes".to_owned(),
        _ => plural_of(base),
    };
    let progressive = match base.strip_suffix("ie") {
        Some(stem) => format!("{stem}ying"),
        None => match base.strip_suffix('e') {
            Some(stem) if !stem.ends_with('e') && stem.len() > 1 => format!("{stem}ing"),
            _ if base == "run" => "running".to_owned(),
            _ => format!("{base}{doubled}ing"),
        },
    };
    [base.to_owned(), third, past, participle, progressive]
}

fn hisses(word: &str) -> bool {
    ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end))
}

/// What stands before a `y` that follows a consonant.
fn consonant_y(word: &str) -> Option<&str> {
    let stem = word.strip_suffix('y')?;
    let vowel = stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    (!vowel && !stem.is_empty()).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_the_dictionary_s() {
        assert_eq!(verb_forms("stop+"), ["stop", "stops", "stopped", "stopped", "stopping"]);
        assert_eq!(verb_forms("carry"), ["carry", "carries", "carried", "carried", "carrying"]);
        assert_eq!(verb_forms("flee/fled"), ["flee", "flees", "fled", "fled", "fleeing"]);
        assert_eq!(verb_forms("ride/rode/ridden")[4], "riding");
        assert_eq!(verb_forms("die")[4], "dying");
        assert_eq!(verb_forms("watch")[1], "watches");
        assert_eq!(plural_of("city"), "cities");
        assert_eq!(plural_of("toy"), "toys");
        assert_eq!(plural_of("fox"), "foxes");
    }
}
