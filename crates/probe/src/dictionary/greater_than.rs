//! The greater-than task: a war that began in 17YY ended in a later year.
//!
//! Source: Hanna, Liu, Variengien 2023, arXiv:2305.00586, §2; with transcoders: Dunefsky, Chlenski,
//! Nanda 2024, arXiv:2406.11944, §6.

use nissl_core::network::Tokenizer;
use nissl_core::{Error, Result};

use super::prompts::TaskPrompt;

/// The prompts "The `noun` lasted from `century`YY to `century`" for YY from 02 to 98, as far as the
/// tokenizer has a token of these two digits; good answers are the years after YY, bad ones the others.
///
/// # Errors
/// A tokenizer without tokens of two digits, or that reads the years in other pieces.
pub fn greater_than(
    tokenizer: &dyn Tokenizer,
    noun: &str,
    century: u32,
) -> Result<Vec<TaskPrompt>> {
    let mut years: Vec<Option<u32>> = Vec::with_capacity(100);
    for year in 0..100 {
        let spans = tokenizer.encode(&format!("{century}{year:02}"))?;
        let own: Vec<u32> =
            spans.iter().filter(|span| span.end > span.start).map(|span| span.id).collect();
        let digits = format!("{year:02}");
        let last = own.last().copied().filter(|_| own.len() > 1);
        years.push(last.filter(|&id| {
            tokenizer.token(id).is_some_and(|text| text.trim_start_matches("##") == digits)
        }));
    }
    let known: Vec<(usize, u32)> =
        years.iter().enumerate().filter_map(|(year, id)| id.map(|id| (year, id))).collect();
    if known.len() < 3 {
        let expected = "a tokenizer with tokens of two digits, such as GPT-2's";
        return Err(Error::setting("tokenizer", format!("{} such years", known.len()), expected));
    }
    let mut prompts = Vec::new();
    for &(year, _) in known.iter().filter(|&&(year, _)| (2..=98).contains(&year)) {
        let text = format!("The {noun} lasted from {century}{year:02} to {century}");
        let spans = tokenizer.encode(&text)?;
        // Special tokens after the text would stand between the prompt and its answer.
        let after = spans.iter().rev().take_while(|span| span.end == span.start).count();
        let tokens = spans[..spans.len() - after].iter().map(|span| span.id).collect();
        let side = |later: bool| -> Vec<u32> {
            known.iter().filter(|&&(y, _)| (y > year) == later).map(|&(_, id)| id).collect()
        };
        let (good, bad) = (side(true), side(false));
        if !good.is_empty() && !bad.is_empty() {
            prompts.push(TaskPrompt { tokens, good, bad });
        }
    }
    Ok(prompts)
}
