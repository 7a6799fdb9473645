//! Where a server listens.

use nissl_core::{Error, Result};
use ureq::http::Uri;

/// The address of a server's chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// In full, up to `chat/completions`.
    pub(super) url: String,
    /// Host and port, as messages show them.
    pub(super) host: String,
    pub(super) encrypted: bool,
    /// Whether it is this machine.
    pub(super) loopback: bool,
}

const WAY: &str = "/chat/completions";

impl Address {
    /// A base address, with or without `/v1` and `/chat/completions`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        // What is shown must not hold a secret that stands in the address.
        let wrong = |found: &str| {
            Error::setting("chat-url", found, "an address such as http://localhost:8080/v1")
        };
        let Ok(uri) = text.trim().parse::<Uri>() else { return Err(wrong("no address")) };
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("an address without http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("an address without a host"))?;
        if authority.as_str().contains('@') {
            return Err(Error::setting(
                "chat-url",
                "an address with a user or key in it",
                "one without; a key belongs into the variable of --chat-key-env",
            ));
        }
        if uri.query().is_some() {
            return Err(wrong("an address with a `?`"));
        }
        let path = uri.path().trim_end_matches('/');
        let path = match path {
            "" => format!("/v1{WAY}"),
            whole if whole.ends_with(WAY) => whole.to_owned(),
            base => format!("{base}{WAY}"),
        };
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = bare == "localhost"
            || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let scheme = if encrypted { "https" } else { "http" };
        Ok(Self {
            url: format!("{scheme}://{authority}{path}"),
            host: authority.to_string(),
            encrypted,
            loopback,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_form_leads_to_the_same_place() {
        for (text, url) in [
            ("http://localhost:8080", "http://localhost:8080/v1/chat/completions"),
            ("http://localhost:8080/v1/", "http://localhost:8080/v1/chat/completions"),
            ("https://a.example/api/v1", "https://a.example/api/v1/chat/completions"),
            ("https://a.example/v1/chat/completions", "https://a.example/v1/chat/completions"),
        ] {
            assert_eq!(Address::parse(text).expect("parses").url, url);
        }
        let local = |text| Address::parse(text).expect("parses").loopback;
        assert!(
            local("http://127.0.0.1:1") && local("http://[::1]:1") && local("http://localhost")
        );
        assert!(!local("http://10.0.0.1") && !local("https://localhost.example"));
    }

    #[test]
    fn bad_addresses_are_refused_and_secrets_not_repeated() {
        for text in [
            "",
            "localhost:80",
            "ftp://a",
            "http://",
            "http://a/v1?key=secret",
            "http://me:secret@a",
        ] {
            let error = Address::parse(text).expect_err("is refused").to_string();
            assert!(error.contains("chat-url") && !error.contains("secret"), "{text}: {error}");
        }
    }
}
