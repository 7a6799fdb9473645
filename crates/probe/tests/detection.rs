//! Concept detection on a network whose features are known.

mod toy;

use ndarray::{Array2, ArrayView1};
use nissl_core::seed::rng;
use nissl_core::stats::correlation::pearson;
use nissl_core::{Error, Progress, Site};
use nissl_probe::detect::{
    Agreement, Candidates, ConceptTokens, Detect, Detected, Signed, TokenSentence, detect,
    diff_means,
};
use nissl_probe::steer::random_direction;
use nissl_probe::strength::Sign;
use rand::RngExt;
use toy::{ReadOut, SITE, Toy, UNITS, WORDS};

const OUT: &str = "layers.0.mlp.out";

fn planted(network: &Toy) -> Candidates {
    let all: Vec<f32> = network.directions.iter().flatten().copied().collect();
    let matrix = Array2::from_shape_vec((WORDS, UNITS), all).expect("a row a word");
    Candidates::new("planted", Site::new(SITE), matrix)
}

fn rows(directions: &[Vec<f32>]) -> Array2<f32> {
    let all: Vec<f32> = directions.iter().flatten().copied().collect();
    Array2::from_shape_vec((directions.len(), directions[0].len()), all).expect("rows")
}

/// Sentences of 3 to 9 words that hold `word`, and as many that do not.
fn about(word: u32, each: usize, seed: u64) -> ConceptTokens {
    let mut rng = rng(seed, u64::from(word));
    let mut other = |with: bool| -> TokenSentence {
        let length = rng.random_range(3..10);
        let mut words: Vec<u32> = (0..length)
            .map(|_| (word + rng.random_range(1..WORDS as u32)) % WORDS as u32)
            .collect();
        if with {
            let place = rng.random_range(0..length as u64) as usize;
            words[place] = word;
        }
        TokenSentence::whole(words)
    };
    ConceptTokens {
        concept: format!("word {word}"),
        activating: (0..each).map(|_| other(true)).collect(),
        neutral: (0..each).map(|_| other(false)).collect(),
    }
}

fn run(
    network: &Toy,
    concepts: &[ConceptTokens],
    methods: &[Candidates],
    settings: &Detect,
) -> Detected {
    detect(network, concepts, methods, settings, &Progress::silent()).expect("runs")
}

fn quick() -> Detect {
    Detect { controls: 0, resamples: 50, ..Detect::default() }
}

#[test]
fn the_planted_feature_is_chosen_and_tells_its_concept() {
    for seed in 0..3 {
        let network = Toy::new(seed, ReadOut::Linear);
        // More sentences than one batch holds.
        let concepts: Vec<ConceptTokens> = [3, 17, 30].map(|word| about(word, 100, seed)).into();
        let mut method = planted(&network);
        let found = run(&network, &concepts, &[method.clone()], &Detect { seed, ..quick() });
        assert_eq!(found.methods.len(), 1);
        for (word, concept) in [3, 17, 30].into_iter().zip(&found.methods[0].concepts) {
            let expected = Signed { feature: word, sign: Sign::Plus };
            assert_eq!(concept.feature, Some(expected));
            assert!((concept.auroc - 1.0).abs() < 1e-12);
            assert_eq!((concept.activating, concept.neutral), (50, 50), "the other half");
            // Word against no word: a = 1 and 0, the latter clamped.
            assert!((concept.s_cd - 1000f64.ln()).abs() < 1e-4, "{concept:?}");
            assert_eq!(concept.clamped, 1);
        }
        assert_eq!(found.methods[0].clamped, 3);
        // Turned round, every feature is found with the other sign.
        let turned = network.directions.iter().map(|z| z.iter().map(|v| -3.0 * v).collect());
        method = Candidates::new("turned", Site::new(SITE), rows(&turned.collect::<Vec<_>>()));
        let back = run(&network, &concepts, &[method], &Detect { seed, ..quick() });
        let signed = back.methods[0].concepts[1].feature.expect("chosen");
        assert_eq!(signed, Signed { feature: 17, sign: Sign::Minus });
        assert!((back.methods[0].concepts[1].auroc - 1.0).abs() < 1e-12);
    }
}

#[test]
fn a_random_direction_tells_nothing() {
    let network = Toy::new(0, ReadOut::Linear);
    let concepts: Vec<ConceptTokens> = (0..WORDS as u32).map(|word| about(word, 60, 5)).collect();
    let mut random = Candidates::new(
        "random",
        Site::new(SITE),
        rows(&(0..WORDS as u64).map(|n| random_direction(UNITS, 9, n)).collect::<Vec<_>>()),
    );
    for (number, concept) in concepts.iter().enumerate() {
        let signed = Signed { feature: number, sign: Sign::Plus };
        random.given.insert(concept.concept.clone(), signed);
    }
    let found = run(&network, &concepts, &[random], &Detect { controls: 5, ..quick() });
    // A control beside given features is given too: nothing is chosen.
    assert_eq!(found.methods[1].concepts[6].feature.expect("a direction").feature, 1);
    assert!((found.methods[1].mean_auroc - 0.5).abs() < 0.15);
    let found = &found.methods[0];
    // 32 directions: the deviation of their mean is about 0.03.
    assert!((found.mean_auroc - 0.5).abs() < 0.1, "{}", found.mean_auroc);
    assert_eq!(found.concepts[0].activating, 60, "nothing was chosen, so all are scored");
    assert!(found.concepts.iter().all(|concept| concept.chosen_auroc.is_none()));
}

#[test]
fn a_choice_by_chance_is_found_out_on_the_other_half() {
    let network = Toy::new(1, ReadOut::Linear);
    // Concepts of nothing: either side is drawn alike.
    let concepts: Vec<ConceptTokens> = (0..24)
        .map(|number| {
            let [a, b] = [2 * number, 2 * number + 1].map(|seed| about(31, 8, seed));
            ConceptTokens {
                concept: format!("nothing {number}"),
                activating: a.neutral,
                neutral: b.neutral,
            }
        })
        .collect();
    let settings = Detect { controls: 300, resamples: 50, ..Detect::default() };
    let found = run(&network, &concepts, &[planted(&network)], &settings);
    assert_eq!(found.methods.len(), 2);
    let control = &found.methods[1];
    assert!(control.control);
    let chosen: Vec<f64> =
        control.concepts.iter().map(|found| found.chosen_auroc.expect("chosen")).collect();
    let chosen = chosen.iter().sum::<f64>() / chosen.len() as f64;
    assert!(chosen > 0.9, "the best of 600 on 8 sentences looks perfect: {chosen}");
    assert!((control.mean_auroc - 0.5).abs() < 0.15, "and is chance: {}", control.mean_auroc);
}

#[test]
fn the_log_ratio_is_that_of_the_closed_form() {
    let network = Toy::new(2, ReadOut::Linear);
    // z = z₃ + ½ z₅: a word 3 agrees by 1/√1.25, a word 5 by half of that.
    let mixed: Vec<f32> = network.directions[3]
        .iter()
        .zip(&network.directions[5])
        .map(|(a, b)| a + b / 2.0)
        .collect();
    let mut method = Candidates::new("mixed", Site::new(SITE), rows(std::slice::from_ref(&mixed)));
    let concept = ConceptTokens {
        concept: "three".to_owned(),
        activating: vec![TokenSentence::whole(vec![8, 3, 9, 10]), TokenSentence::whole(vec![3])],
        neutral: vec![TokenSentence::whole(vec![5, 7]), TokenSentence::whole(vec![1, 5, 5])],
    };
    method.given.insert("three".to_owned(), Signed { feature: 0, sign: Sign::Plus });
    let concepts = [concept];
    let found = run(&network, &concepts, &[method.clone()], &quick());
    let one = &found.methods[0].concepts[0];
    assert!((one.mean_activating - 1.0 / 1.25f64.sqrt()).abs() < 1e-5, "{one:?}");
    assert!((one.s_cd - 2f64.ln()).abs() < 1e-5, "{one:?}");
    assert_eq!(one.clamped, 0);
    let scores = found.methods[0].scores(found.agreement);
    let scorers: Vec<&str> = scores.iter().map(|score| score.scorer.as_str()).collect();
    assert_eq!(scorers, ["detection.s_cd", "detection.auroc"]);
    assert!((scores[0].score - 2f64.ln()).abs() < 1e-5 && scores[0].feature == 0);
    assert!(scores[1].baseline > 0.49 && scores[1].baseline < 0.51 && scores[1].n == 4);

    // The same by correlation, against the statistic itself.
    let settings = Detect { agreement: Agreement::Pearson, ..quick() };
    let by = &run(&network, &concepts, &[method], &settings).methods[0].concepts[0];
    let of = |word: usize| pearson(&network.directions[word], &mixed);
    let first = [8, 3, 9, 10].map(of).into_iter().fold(f64::MIN, f64::max);
    let activating = f64::midpoint(first, of(3));
    assert!((by.mean_activating - activating).abs() < 1e-5, "{by:?} {activating}");
    assert!((by.mean_activating - one.mean_activating).abs() > 1e-4, "centring matters here");
}

#[test]
fn tokens_that_the_tokenizer_added_do_not_count() {
    let network = Toy::new(0, ReadOut::Linear);
    let hidden = |word: u32| TokenSentence { tokens: vec![word, 8, 9], counted: 1..3 };
    let concept = ConceptTokens {
        concept: "three".to_owned(),
        activating: vec![hidden(3); 4],
        neutral: vec![hidden(4); 4],
    };
    let mut method = planted(&network);
    method.given.insert("three".to_owned(), Signed { feature: 3, sign: Sign::Plus });
    let found = run(&network, &[concept], &[method], &quick());
    assert!((found.methods[0].concepts[0].auroc - 0.5).abs() < 1e-12);
}

#[test]
fn the_difference_of_means_points_from_neutral_to_concept() {
    let network = Toy::new(3, ReadOut::Linear);
    let only = |word: u32, count: usize| vec![TokenSentence::whole(vec![word; 4]); count];
    let concept =
        ConceptTokens { concept: "three".to_owned(), activating: only(3, 5), neutral: only(9, 5) };
    let found = diff_means(&network, &Site::new(SITE), &concept).expect("runs");
    for ((found, a), b) in found.iter().zip(&network.directions[3]).zip(&network.directions[9]) {
        assert!((found - (a - b) / 2f32.sqrt()).abs() < 1e-5);
    }
    assert_eq!(diff_means(&network, &Site::new(OUT), &concept).expect("runs").len(), 2 * WORDS);

    // It competes at the features' site and at the MLP's output, and is scored on other sentences.
    let concepts: Vec<ConceptTokens> = [3, 17].map(|word| about(word, 80, 1)).into();
    let settings = Detect { diff_means: true, ..quick() };
    let found = run(&network, &concepts, &[planted(&network)], &settings);
    let named: Vec<(&str, &str)> =
        found.methods.iter().map(|method| (method.method.as_str(), method.site.as_str())).collect();
    assert_eq!(named, [("planted", SITE), ("diff-means", SITE), ("diff-means", OUT)]);
    for method in &found.methods[1..] {
        assert!(method.mean_auroc > 0.9, "{method:?}");
        assert!(method.concepts.iter().all(|found| found.feature.is_none()));
        assert!(method.scores(found.agreement).is_empty(), "no feature, no row");
    }
    // Words that stand in neither kind more often blur it: the planted direction does no worse.
    assert!(found.methods[0].mean_auroc >= found.methods[1].mean_auroc);
    // All runs are the same run.
    assert_eq!(found, run(&network, &concepts, &[planted(&network)], &settings));
}

#[test]
fn a_dictionary_may_hold_some_units_of_a_site() {
    let network = Toy::new(0, ReadOut::Linear);
    // A feature's first unit alone is still told by its word, in the sign of that unit.
    let concepts = [about(3, 30, 0)];
    let whole = run(&network, &concepts, &[planted(&network)], &quick());
    let neurons = Array2::from_shape_fn((UNITS, UNITS), |(a, b)| f32::from(u8::from(a == b)));
    let neurons = Candidates::new("neurons", Site::new(SITE), neurons);
    let single = run(&network, &concepts, &[neurons], &quick());
    let signed = single.methods[0].concepts[0].feature.expect("chosen");
    assert_eq!(signed.feature / 4, 3, "one of the four units of word 3");
    let unit = ArrayView1::from(&network.directions[3])[signed.feature];
    assert_eq!(signed.sign == Sign::Plus, unit > 0.0);
    // One of four equal units is half of the direction.
    let [whole, single] =
        [&whole, &single].map(|found| found.methods[0].concepts[0].mean_activating);
    assert!((single / whole - 0.5).abs() < 1e-4, "{single} {whole}");
}

#[test]
fn bad_input_is_refused_by_name() {
    let network = Toy::new(0, ReadOut::Linear);
    let refuse = |concepts: &[ConceptTokens], method: Candidates, settings: &Detect| {
        detect(&network, concepts, &[method], settings, &Progress::silent()).expect_err("refused")
    };
    let fine = [about(3, 10, 0)];
    let narrow = Candidates::new("narrow", Site::new(SITE), Array2::ones((2, 5)));
    let error = refuse(&fine, narrow, &quick());
    assert!(matches!(error, Error::Units { found: 5, expected: UNITS, .. }), "{error}");
    let elsewhere = Candidates::new("e", Site::new("layers.7.mlp.act"), Array2::ones((2, UNITS)));
    assert!(matches!(refuse(&fine, elsewhere, &quick()), Error::NoSuchSite { .. }));
    let dead = Candidates::new("dead", Site::new(SITE), Array2::zeros((2, UNITS)));
    let error = refuse(&fine, dead.clone(), &quick()).to_string();
    assert!(error.contains("not dead"), "{error}");
    let mut given = dead;
    given.given.insert("word 3".to_owned(), Signed { feature: 1, sign: Sign::Plus });
    assert!(refuse(&fine, given.clone(), &quick()).to_string().contains("length 0"));
    given.given.insert("word 3".to_owned(), Signed { feature: 9, sign: Sign::Plus });
    assert!(refuse(&fine, given, &quick()).to_string().contains("0 to 1"));
    let few = [about(3, 1, 0)];
    let error = refuse(&few, planted(&network), &quick()).to_string();
    assert!(error.contains("word 3") && error.contains("at least 2"), "{error}");
    for settings in [
        Detect { choose: 0.0, ..quick() },
        Detect { choose: 1.0, ..quick() },
        Detect { choose: f64::NAN, ..quick() },
        Detect { resamples: 0, ..quick() },
    ] {
        assert!(settings.validate().is_err(), "{settings:?}");
    }
    assert!(matches!(refuse(&[], planted(&network), &quick()), Error::Empty { .. }));
}
