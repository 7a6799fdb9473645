//! A server that speaks the OpenAI protocol for chats: `POST …/chat/completions`.
//!
//! Busy or silent servers are asked again after 1, 2, 4, … seconds, or after what `Retry-After`
//! says. The key is read from the environment, stands in one header, and nowhere else.
//!
//! Left out: streamed answers, tools, several answers to one question.

mod address;
mod reply;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nissl_core::chat::{Chat, Question};
use nissl_core::{Error, Progress, Result};
use serde_json::json;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use self::address::Address;
use crate::meter::Meter;
use crate::settings::{ChatSettings, KEY_VARIABLE, Reach};

/// A secret; it cannot be shown or stored.
#[derive(Clone)]
pub struct Key(String);

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(…)")
    }
}

impl Key {
    /// The key in an environment variable; `None` where the variable that is read by default is
    /// absent.
    ///
    /// # Errors
    /// A named variable that is absent or empty, or holds what cannot stand in a header.
    pub fn from_environment(variable: &str) -> Result<Option<Self>> {
        let wrong = |found: &str| {
            let expected = format!("a variable that holds a key (`export {variable}=…`)");
            Err(Error::setting("chat-key-env", format!("`{variable}`, which {found}"), expected))
        };
        match std::env::var(variable) {
            Ok(key) if key.trim().is_empty() => wrong("is empty"),
            Ok(key) => Self::new(&key).map(Some).or_else(|_| wrong("holds spaces or line ends")),
            Err(_) if variable == KEY_VARIABLE => Ok(None),
            Err(_) => wrong("is not set"),
        }
    }

    /// A key; spaces around it are dropped.
    ///
    /// # Errors
    /// Letters that cannot stand in a header.
    pub fn new(key: &str) -> Result<Self> {
        let key = key.trim();
        if key.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(key.to_owned()))
        } else {
            Err(Error::setting("key", "not shown", "printable ASCII without spaces"))
        }
    }
}

/// The first pause before a question is asked again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longer than this, no server is waited for.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Bytes of an answer at most.
const LONGEST_ANSWER: u64 = 16 << 20;

/// A model at a server.
pub struct Http {
    agent: ureq::Agent,
    address: Address,
    model: String,
    key: Option<Key>,
    retries: usize,
    first_pause: Duration,
    timeout: Duration,
    progress: Progress,
    meter: Arc<Meter>,
    /// Whether the server wants the newer name of the bound on tokens.
    newer_bound: AtomicBool,
}

/// How one attempt ended.
enum Attempt {
    Answer { text: String, tokens: Option<(u64, u64)> },
    Busy { found: String, pause: Option<Duration> },
    Renamed,
    Failed(Error),
}

impl Http {
    /// The server of the settings; nothing is sent yet.
    ///
    /// # Errors
    /// Settings outside their range, no address, a key that is absent, or [`Reach::Offline`].
    pub fn connect(
        settings: &ChatSettings,
        reach: Reach,
        meter: Arc<Meter>,
        progress: &Progress,
    ) -> Result<Self> {
        settings.validate()?;
        let model = settings.model()?.to_owned();
        let url = settings.chat_url.as_deref().ok_or_else(|| {
            Error::setting("chat-url", "absent", format!("the address of the server of `{model}`"))
        })?;
        let address = Address::parse(url)?;
        if reach == Reach::Offline {
            return Err(Error::Remote {
                what: address.host,
                found: "not asked, because of --offline".to_owned(),
                help: Some(
                    "drop --offline, answer with local:FOLDER, or replay with --chat-replay".into(),
                ),
            });
        }
        let key = Key::from_environment(&settings.chat_key_env)?;
        Ok(Self::new(address, model, key, settings, (meter, progress)))
    }

    fn new(
        address: Address,
        model: String,
        key: Option<Key>,
        settings: &ChatSettings,
        (meter, progress): (Arc<Meter>, &Progress),
    ) -> Self {
        if key.is_some() && !address.encrypted && !address.loopback {
            tracing::warn!("{}: the key goes there unencrypted; prefer https", address.host);
        }
        let timeout = Duration::from_secs_f64(settings.chat_timeout_s);
        let tls = TlsConfig::builder()
            .provider(TlsProvider::NativeTls)
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let mut agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls)
            .user_agent(concat!("nissl/", env!("CARGO_PKG_VERSION")));
        if address.loopback {
            // No proxy of the outer world knows this machine's own servers.
            agent = agent.proxy(None);
        }
        Self {
            agent: agent.build().new_agent(),
            address,
            model,
            key,
            retries: settings.chat_retries,
            first_pause: FIRST_PAUSE,
            timeout,
            progress: progress.clone(),
            meter,
            newer_bound: AtomicBool::new(false),
        }
    }

    fn remote(&self, found: impl Into<String>, help: &str) -> Error {
        Error::Remote {
            what: self.address.host.clone(),
            found: self.without_key(&found.into()),
            help: Some(help.to_owned()),
        }
    }

    /// A text in which the key, should the server have repeated it, is blotted out.
    fn without_key(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| text.replace(&key.0, "…"))
    }

    fn body(&self, question: &Question) -> Vec<u8> {
        let newer = self.newer_bound.load(Ordering::Relaxed);
        let bound = if newer { "max_completion_tokens" } else { "max_tokens" };
        let body = json!({
            "model": self.model,
            "messages": question.messages,
            "temperature": question.temperature,
            "seed": question.seed,
            bound: question.tokens,
        });
        body.to_string().into_bytes()
    }

    fn attempt(&self, question: &Question) -> Attempt {
        let mut request =
            self.agent.post(&self.address.url).header("content-type", "application/json");
        if let Some(Key(key)) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = match request.send(&self.body(question)[..]) {
            Ok(response) => response,
            Err(error) => return self.unreached(error),
        };
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after");
        let pause = header.and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok());
        let pause = pause.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let body = response.body_mut().with_config().limit(LONGEST_ANSWER).lossy_utf8(true);
        let body = match body.read_to_string() {
            Ok(body) => body,
            Err(error) => return self.unreached(error),
        };
        if status == 200 {
            return match reply::answer(&body) {
                Ok((text, tokens)) => Attempt::Answer { text, tokens },
                Err((found, help)) => Attempt::Failed(self.remote(found, help)),
            };
        }
        self.refused(status, &body, pause)
    }

    fn unreached(&self, error: ureq::Error) -> Attempt {
        let seconds = self.timeout.as_secs_f64();
        match error {
            ureq::Error::Timeout(_) => {
                Attempt::Busy { found: format!("no answer within {seconds} s"), pause: None }
            }
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Attempt::Failed(
                    self.remote("refuses the connection", "is the server running there?"),
                )
            }
            ureq::Error::Io(error) => Attempt::Busy { found: error.to_string(), pause: None },
            ureq::Error::ConnectionFailed | ureq::Error::BodyStalled => {
                Attempt::Busy { found: "the connection broke".to_owned(), pause: None }
            }
            ureq::Error::HostNotFound => {
                Attempt::Failed(self.remote("no such host", "check --chat-url"))
            }
            other => Attempt::Failed(self.remote(other.to_string(), "check --chat-url")),
        }
    }

    fn refused(&self, status: u16, body: &str, pause: Option<Duration>) -> Attempt {
        let said = reply::complaint(body);
        let with = |words: &str| {
            let said = said.as_ref().map_or_else(String::new, |said| format!(": {said}"));
            format!("status {status}, {words}{said}")
        };
        let failed = |words, help: &str| Attempt::Failed(self.remote(with(words), help));
        match status {
            401 | 403 => {
                // Some servers repeat the key in their words, so these are left out.
                let found = match &self.key {
                    Some(_) => format!("status {status}, the key is refused"),
                    None => format!("status {status}, a key is wanted"),
                };
                let help = "put a valid key into the variable that --chat-key-env names";
                Attempt::Failed(self.remote(found, help))
            }
            400 if body.contains("max_completion_tokens")
                && !self.newer_bound.swap(true, Ordering::Relaxed) =>
            {
                Attempt::Renamed
            }
            402 => failed("payment is required", "top up the account at the server"),
            429 if body.contains("insufficient_quota") => {
                failed("the quota is used up", "top up the account at the server")
            }
            404 => failed("not found", "check --chat-url and --chat-model"),
            408 | 409 | 425 | 429 | 500..=599 => {
                Attempt::Busy { found: with(if status == 429 { "busy" } else { "failed" }), pause }
            }
            300..=399 => failed("moved elsewhere", "give the server's final address as --chat-url"),
            _ => failed("the question is refused", "check --chat-model and what it can read"),
        }
    }

    /// Waits, and wakes up when the user wants to stop.
    fn pause(&self, pause: Duration) -> Result<()> {
        const STEP: Duration = Duration::from_millis(50);
        let end = Instant::now() + pause;
        loop {
            self.progress.check(|| "waiting for the server".to_owned())?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(STEP));
        }
    }
}

impl Chat for Http {
    fn id(&self) -> &str {
        &self.model
    }

    fn ask(&self, question: &Question) -> Result<String> {
        let reserved = self.meter.reserve(question)?;
        let mut tries = 0;
        loop {
            let (found, wanted) = match self.attempt(question) {
                Attempt::Answer { text, tokens } => {
                    reserved.spend(question, &text, tokens);
                    return Ok(text);
                }
                Attempt::Renamed => continue,
                Attempt::Failed(error) => return Err(error),
                Attempt::Busy { found, pause } => (found, pause),
            };
            tries += 1;
            let pause = wanted.unwrap_or(self.first_pause * (1 << (tries - 1).min(16)));
            if pause > LONGEST_PAUSE && wanted.is_some() {
                let found = format!("{found}; it wants {} s of pause", pause.as_secs());
                return Err(self.remote(found, "try again later"));
            }
            if tries > self.retries {
                let times = if tries == 1 { "once".to_owned() } else { format!("{tries} times") };
                let help = "try again later, ask fewer at once (--chat-at-once), or wait longer \
                            (--chat-timeout-s, --chat-retries)";
                return Err(self.remote(format!("{found} (asked {times})"), help));
            }
            tracing::info!("{}: {found}; asking again", self.address.host);
            self.pause(pause.min(LONGEST_PAUSE))?;
        }
    }
}
