//! Activity streamed from a network is that of the texts, mixed, and goes on as if never stopped.

use std::cell::Cell;

use burn::tensor::{Device, Tensor, TensorData};
use nissl_core::network::{
    FinalNorm, Generated, KeyValueCache, LanguageNetwork, Network, Sampling, TokenBatch, TokenSpan,
    Tokenizer,
};
use nissl_core::recording::ActivityStream;
use nissl_core::taps::Taps;
use nissl_core::{Error, Progress, Result, Site};
use nissl_record::text::DocumentStream;
use nissl_record::{Document, NetworkStream, StreamNetwork};

/// Says of each token its number and position at `number`, and ten times both at `ten`.
struct Counting {
    sites: Vec<Site>,
    device: Device,
    runs: std::sync::atomic::AtomicUsize,
}

/// A word a token, its number the word's.
struct Words;

impl Tokenizer for Words {
    fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
        let mut start = 0;
        let mut spans = Vec::new();
        for word in text.split(' ') {
            let id = word.parse().map_err(|error| Error::setting("word", error, "a number"))?;
            spans.push(TokenSpan { id, start, end: start + word.len() });
            start += word.len() + 1;
        }
        Ok(spans)
    }

    fn decode(&self, _tokens: &[u32]) -> Result<String> {
        Ok(String::new())
    }

    fn token(&self, id: u32) -> Option<String> {
        Some(id.to_string())
    }

    fn size(&self) -> usize {
        1_000_000
    }

    fn end(&self) -> Option<u32> {
        None
    }
}

impl Counting {
    fn new() -> Self {
        let sites = ["number", "ten", "pattern"].map(Site::new).to_vec();
        Self { sites, device: Device::flex(), runs: 0.into() }
    }
}

impl Network for Counting {
    fn id(&self) -> &'static str {
        "counting"
    }

    fn sites(&self) -> &[Site] {
        &self.sites
    }

    fn width(&self, site: &Site) -> Option<usize> {
        (site.name() != "pattern").then_some(2)
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

impl LanguageNetwork for Counting {
    fn forward(&self, batch: &TokenBatch, taps: &mut Taps<'_>) -> Result<Option<Tensor<3>>> {
        self.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        taps.begin(&self.sites);
        let (rows, positions) = (batch.batch(), batch.positions());
        let values: Vec<f32> = batch
            .tokens()
            .iter()
            .enumerate()
            .flat_map(|(at, &token)| [token as f32, (at % positions) as f32])
            .collect();
        let x = Tensor::<3>::from_data(TensorData::new(values, [rows, positions, 2]), &self.device);
        let x = taps.visit(format_args!("number"), x);
        let _ten = taps.visit(format_args!("ten"), x * 10.0);
        Ok(None)
    }

    fn forward_cached(
        &self,
        _batch: &TokenBatch,
        _cache: &mut KeyValueCache,
        _taps: &mut Taps<'_>,
    ) -> Result<Tensor<3>> {
        Err(Error::setting("network", "counting", "a network that writes"))
    }

    fn generate(
        &self,
        _prompt: &[u32],
        _sampling: &Sampling,
        _taps: &mut Taps<'_>,
    ) -> Result<Generated> {
        Err(Error::setting("network", "counting", "a network that writes"))
    }

    fn layers(&self) -> usize {
        1
    }

    fn residual_width(&self) -> usize {
        2
    }

    fn vocabulary(&self) -> usize {
        1_000_000
    }

    fn context(&self) -> usize {
        64
    }

    fn is_causal(&self) -> bool {
        true
    }

    fn tokenizer(&self) -> Result<&dyn Tokenizer> {
        Ok(&Words)
    }

    fn down_projection(&self, layer: usize) -> Result<Tensor<2>> {
        Err(Error::setting("layer", layer, "a network with an MLP"))
    }

    fn unembed(&self, _directions: Tensor<2>, _norm: FinalNorm) -> Result<Tensor<2>> {
        Err(Error::setting("network", "counting", "one with a head"))
    }
}

/// Texts of `lengths` words, numbered throughout.
fn texts(lengths: &'static [u32]) -> impl Fn() -> Result<DocumentStream> {
    move || {
        let mut first = 0;
        let documents = lengths.iter().map(move |&length| {
            let words: Vec<String> = (first..first + length).map(|word| word.to_string()).collect();
            first += length;
            Ok(Document { text: words.join(" "), ..Document::default() })
        });
        Ok(Box::new(documents))
    }
}

const LENGTHS: &[u32] = &[5, 17, 3, 30, 8, 1, 12, 9, 40, 2];

fn settings() -> StreamNetwork {
    StreamNetwork { context: 8, windows: 3, buffer: 40, rounds: 2, seed: 7, ..Default::default() }
}

fn stream<'a>(
    network: &'a Counting,
    texts: &'a dyn Fn() -> Result<DocumentStream>,
    settings: &StreamNetwork,
    progress: &'a Progress,
) -> NetworkStream<'a> {
    let sites = [Site::new("number"), Site::new("ten")];
    NetworkStream::new(network, (&sites[0], Some(&sites[1])), texts, settings, progress)
        .expect("a stream")
}

/// All samples left, in batches of `rows`.
fn all(stream: &mut NetworkStream<'_>, rows: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    let (mut input, mut target) = (Vec::new(), Vec::new());
    loop {
        let given = stream.next(rows, &mut input, &mut target).expect("samples");
        assert_eq!((input.len(), target.len()), (2 * given, 2 * given));
        inputs.extend_from_slice(&input);
        targets.extend_from_slice(&target);
        if given < rows {
            return (inputs, targets);
        }
    }
}

#[test]
fn every_token_comes_once_a_round_with_its_target_and_mixed() {
    let (network, texts, progress) = (Counting::new(), texts(LENGTHS), Progress::silent());
    let (inputs, targets) = all(&mut stream(&network, &texts, &settings(), &progress), 16);
    assert!(targets.iter().zip(&inputs).all(|(ten, one)| (*ten - 10.0 * one).abs() < 1e-3));
    let mut tokens: Vec<u32> = inputs.chunks(2).map(|sample| sample[0] as u32).collect();
    let neighbours = tokens.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    assert!(neighbours < tokens.len() / 5, "{neighbours} of {} are in order", tokens.len());
    tokens.sort_unstable();
    let total: u32 = LENGTHS.iter().sum();
    let twice: Vec<u32> = (0..total).flat_map(|token| [token, token]).collect();
    assert_eq!(tokens, twice);
    // The network saw windows of eight tokens.
    assert!(inputs.chunks(2).all(|sample| sample[1] < 8.0));
}

#[test]
fn skipping_gives_the_samples_that_would_have_come() {
    let (network, texts, progress) = (Counting::new(), texts(LENGTHS), Progress::silent());
    let whole = all(&mut stream(&network, &texts, &settings(), &progress), 16);
    for skipped in [1, 16, 23, 100, 230, 253] {
        let mut later = stream(&network, &texts, &settings(), &progress);
        later.skip(skipped).expect("skips");
        let (inputs, targets) = all(&mut later, 16);
        assert_eq!(inputs, whole.0[2 * skipped as usize..], "{skipped}");
        assert_eq!(targets, whole.1[2 * skipped as usize..], "{skipped}");
    }
    let runs = || network.runs.swap(0, std::sync::atomic::Ordering::Relaxed);
    let endless = StreamNetwork { rounds: 0, ..settings() };
    runs();
    stream(&network, &texts, &endless, &progress).skip(10_000).expect("skips");
    assert_eq!(runs(), 0, "the network is not run for what is passed over");
    assert!(stream(&network, &texts, &settings(), &progress).skip(0).is_ok());
}

#[test]
fn first_positions_can_be_left_out_and_the_seed_sets_the_order() {
    let (network, texts, progress) = (Counting::new(), texts(LENGTHS), Progress::silent());
    let left_out = StreamNetwork { leave_out: 2, rounds: 1, ..settings() };
    let (inputs, _) = all(&mut stream(&network, &texts, &left_out, &progress), 5);
    assert!(inputs.chunks(2).all(|sample| sample[1] >= 2.0));
    let once = |seed| {
        let settings = StreamNetwork { seed, ..settings() };
        all(&mut stream(&network, &texts, &settings, &progress), 16)
    };
    assert_eq!(once(1), once(1));
    assert_ne!(once(1), once(2));
}

#[test]
fn endless_rounds_do_not_hide_texts_without_tokens() {
    let (network, progress) = (Counting::new(), Progress::silent());
    let opened = Cell::new(0);
    let empty = || -> Result<DocumentStream> {
        opened.set(opened.get() + 1);
        Ok(Box::new(std::iter::empty()))
    };
    let endless = StreamNetwork { rounds: 0, ..settings() };
    let mut none = stream(&network, &empty, &endless, &progress);
    let error = none.next(4, &mut Vec::new(), &mut Vec::new()).expect_err("no token");
    assert!(matches!(error, Error::Empty { .. }), "{error}");
    assert_eq!(opened.get(), 1);
}

#[test]
fn sites_and_settings_that_do_not_fit_are_told() {
    let (network, texts, progress) = (Counting::new(), texts(LENGTHS), Progress::silent());
    let made = |input: &str, target: Option<&str>, settings: &StreamNetwork| {
        let target = target.map(Site::new);
        let stream = NetworkStream::new(
            &network,
            (&Site::new(input), target.as_ref()),
            &texts,
            settings,
            &progress,
        );
        stream.err().map(|error| error.to_string())
    };
    assert_eq!(made("number", None, &settings()), None);
    assert!(made("numbr", None, &settings()).is_some_and(|text| text.contains("numbr")));
    assert!(made("pattern", None, &settings()).is_some_and(|text| text.contains("pattern")));
    assert!(made("ten", Some("ten"), &settings()).is_some_and(|text| text.contains("target")));
    let wide = StreamNetwork { context: 65, ..settings() };
    assert!(made("ten", None, &wide).is_some_and(|text| text.contains("context")));
    let narrow = StreamNetwork { buffer: 1, ..settings() };
    assert!(made("ten", None, &narrow).is_some_and(|text| text.contains("buffer")));
}
