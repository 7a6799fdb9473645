//! Writes a world to a folder: text, tokens and truth.

use std::io::Write;
use std::path::Path;

use nissl_core::store::{self, Existing, Kind, Manifest, Provenance, Shard};
use nissl_core::{Column, IoContext, Progress, Result, Table, TableWriter};
use serde::{Deserialize, Serialize};

use super::{CONCEPTS, Concepts, Language, LanguageWorld, Story};

/// Tokens gathered before they are written.
const TOKENS_IN_GROUP: usize = 65_536;

/// What was written, as it stands in the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Stories, one a line of `text.txt`
    pub stories: u64,
    /// Tokens, one a row of `samples.parquet`
    pub tokens: u64,
    /// Words of the vocabulary
    pub vocabulary: u64,
    /// Mean entropy of the generator's choices, in nats a token: no model of the text beats it
    pub entropy: f64,
    /// Mean of `-ln p` under the generator, in nats a token
    pub surprise: f64,
    /// The first story that is not in the folder
    pub next: u64,
    /// Languages of aligned stories, none for English stories
    pub languages: Vec<Language>,
}

impl LanguageWorld {
    /// Tells the stories into the folder `out`.
    ///
    /// `text.txt` has a story a line; `samples.parquet` a token a row; beside them lie
    /// `tokenizer.json`, `vocabulary.txt`, `concepts.json` and, last, `manifest.json`.
    /// An interrupted telling is told anew.
    ///
    /// Memory: one row group of tokens.
    ///
    /// # Errors
    /// A parameter out of range, a folder that is there already, or a failed file operation.
    pub fn write(
        &self,
        out: &Path,
        provenance: Provenance,
        existing: Existing,
        progress: &Progress,
    ) -> Result<Written> {
        self.validate()?;
        store::prepare(out, existing)?;
        let started = std::time::Instant::now();
        let words = self.words();
        let mut written = Written {
            stories: 0,
            tokens: 0,
            vocabulary: words.len() as u64,
            entropy: 0.0,
            surprise: 0.0,
            next: self.first,
            languages: self.languages.clone(),
        };
        let text_path = out.join("text.txt");
        let aside = store::aside(&text_path);
        let mut text = std::io::BufWriter::new(store::create_file(&aside)?);
        let mut samples = TableWriter::create(&out.join("samples.parquet"));
        let mut rows = Rows::default();
        let stage = progress.stage("stories", self.tokens as u64, "tokens");
        for story in self.stories() {
            progress.check(|| format!("{} tokens; nothing was kept", written.tokens))?;
            writeln!(text, "{}", story.text).at(&text_path, "write")?;
            rows.add(&story, &written);
            stage.advance(story.tokens.len() as u64);
            for token in &story.tokens {
                written.entropy += f64::from(token.entropy);
                written.surprise += f64::from(token.surprise);
            }
            written.stories += 1;
            written.tokens += story.tokens.len() as u64;
            written.next = story.index + 1;
            if rows.sample.len() >= TOKENS_IN_GROUP {
                samples.push(&std::mem::take(&mut rows).table(!self.languages.is_empty()))?;
            }
        }
        if !rows.sample.is_empty() {
            samples.push(&rows.table(!self.languages.is_empty()))?;
        }
        samples.finish()?;
        let file = text
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .at(&text_path, "write")?;
        file.sync_all().at(&text_path, "write")?;
        std::fs::rename(&aside, &text_path).at(&text_path, "rename")?;
        written.entropy /= written.tokens as f64;
        written.surprise /= written.tokens as f64;

        store::write_bytes(&out.join("tokenizer.json"), self.tokenizer_json().as_bytes())?;
        let vocabulary = words.join("\n") + "\n";
        store::write_bytes(&out.join("vocabulary.txt"), vocabulary.as_bytes())?;
        let concepts = serde_json::json!(CONCEPTS).to_string();
        store::write_bytes(&out.join("concepts.json"), concepts.as_bytes())?;
        let provenance = Provenance { seconds: started.elapsed().as_secs_f64(), ..provenance };
        let mut manifest = Manifest::new(Kind::World, provenance, written.clone());
        for (file, rows) in [("text.txt", written.stories), ("samples.parquet", written.tokens)] {
            let path = out.join(file);
            let bytes = std::fs::metadata(&path).at(&path, "read")?.len();
            let sha256 = store::sha256_file(&path)?;
            manifest.shards.push(Shard { file: file.to_owned(), rows, bytes, sha256 });
        }
        manifest.write(out)?;
        Ok(written)
    }
}

/// Tokens on their way to the sample table.
#[derive(Default)]
struct Rows {
    sample: Vec<u64>,
    sequence: Vec<u32>,
    position: Vec<u32>,
    token_id: Vec<u32>,
    token: Vec<String>,
    start: Vec<u32>,
    end: Vec<u32>,
    entropy: Vec<f32>,
    surprise: Vec<f32>,
    meaning: Vec<u32>,
    language: Vec<Language>,
    concepts: Vec<Concepts>,
}

impl Rows {
    fn add(&mut self, story: &Story, written: &Written) {
        for (position, token) in story.tokens.iter().enumerate() {
            self.sample.push(written.tokens + position as u64);
            self.sequence.push(written.stories as u32);
            self.position.push(position as u32);
            self.token_id.push(token.id);
            self.token.push(token.text.to_owned());
            self.start.push(token.start as u32);
            self.end.push(token.end as u32);
            self.entropy.push(token.entropy);
            self.surprise.push(token.surprise);
            self.meaning.push(token.meaning);
            self.language.push(token.language);
            self.concepts.push(token.concepts);
        }
    }

    fn table(self, aligned: bool) -> Table {
        let mut table = Table::new()
            .with("sample", Column::U64(self.sample))
            .with("sequence", Column::U32(self.sequence))
            .with("position", Column::U32(self.position))
            .with("token_id", Column::U32(self.token_id))
            .with("token", Column::Text(self.token))
            .with("start", Column::U32(self.start))
            .with("end", Column::U32(self.end))
            .with("entropy", Column::F32(self.entropy))
            .with("surprise", Column::F32(self.surprise))
            .with("meaning", Column::U32(self.meaning));
        if aligned {
            let names = self.language.iter().map(|language| language.name().to_owned()).collect();
            table = table.with("truth.language", Column::Text(names));
            for language in Language::ALL {
                let is = self.language.iter().map(|other| *other == language).collect();
                table = table.with(format!("truth.language.{}", language.name()), Column::Bool(is));
            }
        }
        for (index, concept) in CONCEPTS.iter().enumerate() {
            let has = self.concepts.iter().map(|concepts| concepts.has(index)).collect();
            table = table.with(format!("truth.{}", concept.name), Column::Bool(has));
        }
        table
    }
}
