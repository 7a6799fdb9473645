//! Windows of tokens over documents, each token with its row of the sample table.

use nissl_core::labelled_text::LABEL_FIELD;
use nissl_core::network::{TokenSpan, Tokenizer};
use nissl_core::{Column, Error, Result, Table};

use crate::text::Document;

/// The tokens that a network reads at once, and those of them that are recorded.
pub(crate) struct Window {
    pub(crate) tokens: Vec<u32>,
    /// Positions in `tokens`.
    pub(crate) rows: Vec<usize>,
    /// One row for each of `rows`.
    pub(crate) table: Table,
}

/// How documents are cut.
pub(crate) struct Windows {
    pub(crate) context: usize,
    pub(crate) stride: usize,
    pub(crate) keep_special: bool,
}

impl Windows {
    /// The windows of one document; each token is recorded once.
    pub(crate) fn cut(
        &self,
        tokenizer: &dyn Tokenizer,
        sequence: u32,
        document: &Document,
    ) -> Result<Vec<Window>> {
        let spans = tokenizer.encode(&document.text)?;
        // Special tokens cover no text; they stand around every window.
        let before = spans.iter().take_while(|span| span.start == span.end).count();
        let after = spans[before..].iter().rev().take_while(|span| span.start == span.end).count();
        let (head, rest) = spans.split_at(before);
        let (body, tail) = rest.split_at(rest.len() - after);
        let room = self.context.saturating_sub(head.len() + tail.len());
        if room == 0 || self.stride > room.max(self.context) {
            return Err(Error::setting(
                "context",
                self.context,
                format!("more than the {} special tokens, and at least `stride`", before + after),
            ));
        }
        let stride = self.stride.min(room);
        let mut windows = Vec::new();
        let mut recorded = 0;
        let mut begin = 0;
        while recorded < body.len() {
            let end = (begin + room).min(body.len());
            let first = windows.is_empty();
            let mut spans: Vec<TokenSpan> = head.to_vec();
            spans.extend_from_slice(&body[begin..end]);
            spans.extend_from_slice(tail);
            let mut rows: Vec<usize> = (recorded..end).map(|at| head.len() + at - begin).collect();
            if self.keep_special && first {
                rows = (0..head.len()).chain(rows).collect();
            }
            if self.keep_special && end == body.len() {
                rows.extend(spans.len() - tail.len()..spans.len());
            }
            let offset = if self.keep_special { begin } else { begin.wrapping_sub(head.len()) };
            let positions: Vec<u32> =
                rows.iter().map(|row| row.wrapping_add(offset) as u32).collect();
            let chosen: Vec<TokenSpan> = rows.iter().map(|&row| spans[row]).collect();
            let ids: Vec<u32> = chosen.iter().map(|span| span.id).collect();
            let names = ids.iter().map(|&id| tokenizer.token(id).unwrap_or_default()).collect();
            let mut table = Table::new()
                .with("sequence", Column::U32(vec![sequence; rows.len()]))
                .with("position", Column::U32(positions))
                .with("token_id", Column::U32(ids))
                .with("token", Column::Text(names));
            if let Some(label) = &document.label {
                table = table.with(LABEL_FIELD, Column::Text(vec![label.clone(); rows.len()]));
            }
            if let Some(truth) = &document.truth {
                table = with_truth(table, &chosen, truth)?;
            }
            windows.push(Window {
                tokens: spans.iter().map(|span| span.id).collect(),
                rows,
                table,
            });
            recorded = end;
            begin += stride;
        }
        Ok(windows)
    }
}

/// The columns that describe the world's own tokens, and so are not carried over.
const OWN_COLUMNS: [&str; 7] =
    ["sample", "sequence", "position", "token_id", "token", "start", "end"];

/// Gives each of the network's tokens the truth of the planted token that it overlaps most.
fn with_truth(mut table: Table, spans: &[TokenSpan], truth: &Table) -> Result<Table> {
    let (starts, ends) = (truth.u32s("start")?, truth.u32s("end")?);
    let rows: Vec<usize> = spans
        .iter()
        .map(|span| {
            // Planted tokens are in order: the candidates begin at the last that ends before.
            let first = ends.partition_point(|&end| end as usize <= span.start);
            let overlap = |at: usize| {
                span.end.min(ends[at] as usize).saturating_sub(span.start.max(starts[at] as usize))
            };
            (first..starts.len())
                .take_while(|&at| (starts[at] as usize) < span.end)
                .max_by_key(|&at| (overlap(at), std::cmp::Reverse(at)))
                .unwrap_or(first.min(starts.len().saturating_sub(1)))
        })
        .collect();
    if truth.rows() == 0 {
        return Err(Error::Empty {
            what: "the truth of a text".to_owned(),
            expected: "one row for each token".to_owned(),
        });
    }
    let aligned = truth.take(&rows);
    for (name, column) in aligned.columns() {
        if !OWN_COLUMNS.contains(&name) {
            table = table.with(name, column.clone());
        }
    }
    Ok(table)
}

/// Keeps the first `most` recorded tokens of a batch.
pub(crate) fn cut(batch: &mut Vec<Window>, most: usize) {
    let mut left = most;
    for window in batch.iter_mut() {
        let kept = window.rows.len().min(left);
        if kept < window.rows.len() {
            window.rows.truncate(kept);
            window.table = window.table.take(&(0..kept).collect::<Vec<_>>());
        }
        left -= kept;
    }
    batch.retain(|window| !window.rows.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One token a letter, between two special tokens.
    struct Letters;

    impl Tokenizer for Letters {
        fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
            let letters = text.bytes().enumerate().map(|(at, letter)| TokenSpan {
                id: u32::from(letter),
                start: at,
                end: at + 1,
            });
            let special = |id| TokenSpan { id, start: 0, end: 0 };
            Ok([special(1)].into_iter().chain(letters).chain([special(2)]).collect())
        }

        fn decode(&self, _tokens: &[u32]) -> Result<String> {
            Ok(String::new())
        }

        fn token(&self, id: u32) -> Option<String> {
            char::from_u32(id).map(String::from)
        }

        fn size(&self) -> usize {
            256
        }

        fn end(&self) -> Option<u32> {
            None
        }
    }

    fn text(text: &str) -> Document {
        Document { text: text.to_owned(), ..Document::default() }
    }

    fn recorded(windows: &[Window]) -> (String, Vec<u32>) {
        let ids = windows.iter().flat_map(|window| window.rows.iter().map(|&r| window.tokens[r]));
        let positions = windows
            .iter()
            .flat_map(|window| window.table.u32s("position").expect("positions").to_vec());
        (ids.filter_map(char::from_u32).collect(), positions.collect())
    }

    #[test]
    fn each_token_is_recorded_once_with_its_position() {
        for (context, stride) in [(5, 3), (5, 1), (4, 2), (20, 20)] {
            let windows = Windows { context, stride, keep_special: false };
            let windows = windows.cut(&Letters, 7, &text("abcdefghij")).expect("cuts");
            let (ids, positions) = recorded(&windows);
            assert_eq!(ids, "abcdefghij", "{context} {stride}");
            assert_eq!(positions, (0..10).collect::<Vec<_>>(), "{context} {stride}");
            for window in &windows {
                assert!(window.tokens.len() <= context);
                assert_eq!((window.tokens[0], window.tokens.last()), (1, Some(&2)));
            }
        }
    }

    #[test]
    fn special_tokens_are_kept_when_asked() {
        let windows = Windows { context: 5, stride: 3, keep_special: true };
        let windows = windows.cut(&Letters, 0, &text("abcdef")).expect("cuts");
        assert_eq!(recorded(&windows).0, "\u{1}abcdef\u{2}");
    }

    #[test]
    fn a_context_without_room_is_refused() {
        let windows = Windows { context: 2, stride: 2, keep_special: false };
        assert!(windows.cut(&Letters, 0, &text("abc")).is_err());
    }

    #[test]
    fn a_piece_of_a_word_has_the_truth_of_that_word() {
        let truth = Table::new()
            .with("start", Column::U32(vec![0, 4]))
            .with("end", Column::U32(vec![3, 6]))
            .with("token", Column::Text(vec!["red".into(), "is".into()]))
            .with("truth.colour", Column::Bool(vec![true, false]));
        let document =
            Document { text: "red is".to_owned(), truth: Some(truth), ..Document::default() };
        let windows = Windows { context: 20, stride: 20, keep_special: false };
        let windows = windows.cut(&Letters, 0, &document).expect("cuts");
        let table = &windows[0].table;
        let colour = table.bools("truth.colour").expect("carried over");
        assert_eq!(colour, [true, true, true, false, false, false]);
        assert_eq!(table.texts("token").expect("its own")[0], "r");
    }

    #[test]
    fn every_token_has_the_label_of_its_text() {
        let windows = Windows { context: 5, stride: 3, keep_special: false };
        let document = Document { label: Some("pets".to_owned()), ..text("abcdefgh") };
        for window in windows.cut(&Letters, 0, &document).expect("cuts") {
            let labels = window.table.texts("label").expect("a column").to_vec();
            assert_eq!(labels, vec!["pets"; window.rows.len()]);
        }
        let unlabelled = windows.cut(&Letters, 0, &text("ab")).expect("cuts");
        assert!(unlabelled[0].table.get("label").is_none());
    }

    #[test]
    fn a_batch_is_cut_to_the_wanted_tokens() {
        let windows = Windows { context: 5, stride: 3, keep_special: false };
        let mut batch = windows.cut(&Letters, 0, &text("abcdefgh")).expect("cuts");
        cut(&mut batch, 4);
        assert_eq!(recorded(&batch).0, "abcd");
        assert_eq!(batch.len(), 2);
    }
}
