//! The URL of a stream: as a program must get it, as it may be shown, and what of it is secret.
//!
//! Of a stream's URL only scheme, host and port are shown. Cameras take passwords and tokens in the user
//! information, in the path (`/user=admin&password=...`) and in the query, so all three are secrets.
//! A password may hold any character. Where a text has more than one reading, the one that hides more counts.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Secret;

/// What parts the scheme from the rest.
const MARK: &str = "://";
/// Shorter secrets are replaced only together with the signs around them: alone they may be any word.
const BARE_SECRET_BYTES_MIN: usize = 4;
/// All but the unreserved characters (RFC 3986, section 2.3).
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What stands in a user's name or password and would end it. A percent sign is judged apart.
const USER: &AsciiSet =
    &COMPONENT.remove(b':').remove(b'%').remove(b'!').remove(b'$').remove(b'&').remove(b'*');
/// What may not stand in a path or query.
const REST: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A URL with its parts, as they were written.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamUrl<'a> {
    /// In lower case: programs compare it letter by letter.
    scheme: String,
    /// Name and password, without the at sign.
    user: Option<&'a str>,
    /// Host and port.
    authority: &'a str,
    /// Path, query and fragment.
    rest: &'a str,
    /// Whether the text has another reading.
    is_ambiguous: bool,
}

impl<'a> StreamUrl<'a> {
    /// The parts of a URL; `None` for a text that has no scheme.
    ///
    /// A password may hold `/`, `?` and `#` where what stands before them is no host and port.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, after) = text.split_once(MARK)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        is_scheme.then(|| Self::of_parts(scheme.to_ascii_lowercase(), after))
    }

    fn of_parts(scheme: String, after: &'a str) -> Self {
        let end = |from: usize| after[from..].find(['/', '?', '#']).map_or(after.len(), |at| from + at);
        let first = &after[..end(0)];
        let begin = match first.rfind('@') {
            Some(at) => at + 1,
            None if is_host_and_port(first) => 0,
            // Then the name or password holds one of the signs that end a host.
            None => {
                let starts = after.match_indices('@').map(|(at, _)| at + 1);
                starts.clone().find(|&at| is_host_and_port(&after[at..end(at)])).unwrap_or(0)
            }
        };
        let (authority, rest) = after[begin..].split_at(end(begin) - begin);
        let user = begin.checked_sub(1).map(|at| &after[..at]);
        let is_ambiguous = rest.contains('@') || !is_host_and_port(authority);
        Self { scheme, user, authority, rest, is_ambiguous }
    }

    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The URL with every character that may not stand in it percent-encoded, and an international host
    /// name in its ASCII form (UTS 46). The error is for a host name that has none.
    pub fn encoded(&self) -> Result<String, String> {
        let mut url = format!("{}{MARK}", self.scheme);
        if let Some(user) = self.user {
            url += &encode_user(user);
            url.push('@');
        }
        let (host, port) = match self.authority.rsplit_once(':') {
            Some((host, port)) if is_port(port) => (host, Some(port)),
            _ => (self.authority, None),
        };
        url += &ascii_host(host)?;
        if let Some(port) = port {
            url.push(':');
            url += port;
        }
        url.extend(utf8_percent_encode(self.rest, REST));
        Ok(url)
    }

    /// Scheme, host and port, and a mark for each part that is hidden. Without the host where an at sign
    /// further on could end a password.
    pub fn shown(&self) -> String {
        let hidden = Secret::HIDDEN;
        let Self { scheme, authority, rest, .. } = self;
        if self.is_ambiguous {
            return format!("{scheme}{MARK}{hidden}");
        }
        let user = if self.user.is_some_and(|user| !user.is_empty()) { "***@" } else { "" };
        let rest = match *rest {
            "" | "/" => rest,
            _ => "/***",
        };
        format!("{scheme}{MARK}{user}{authority}{rest}")
    }

    /// The parts that must not be repeated, as they were written and as [`Self::encoded`] gives them.
    fn secrets(&self) -> Vec<Hidden> {
        let mut hidden = Vec::new();
        let mut hide = |secret: &str, instead: &str| {
            let decoded = percent_decode_str(secret).decode_utf8_lossy();
            let encoded: String = utf8_percent_encode(secret, REST).collect();
            for secret in [secret, &encode_user(secret), &encoded, &*decoded] {
                // Within quotes, as the list that ffmpeg reads has it.
                for secret in [Cow::Borrowed(secret), Cow::Owned(secret.replace('\'', r"'\''"))] {
                    hidden.push(Hidden { secret: secret.into_owned(), instead: instead.to_owned() });
                }
            }
        };
        if let Some(user) = self.user.filter(|user| !user.is_empty()) {
            hide(&format!("{user}@"), "***@");
            let password = user.split_once(':').map_or(user, |(_, password)| password);
            if password.len() >= BARE_SECRET_BYTES_MIN {
                hide(password, Secret::HIDDEN);
            }
        }
        if self.rest.len() > 1 {
            hide(self.rest, "/***");
            for part in self.rest.split_inclusive(['/', '?', '#', '&', ';']).map(trimmed) {
                // `name=value`, and a folder that may be a token.
                if let Some((_, value)) = part.split_once('=').filter(|(_, value)| !value.is_empty()) {
                    hide(&format!("={value}"), "=***");
                    if value.len() > BARE_SECRET_BYTES_MIN {
                        hide(value, Secret::HIDDEN);
                    }
                }
                if !part.is_empty() {
                    hide(&format!("/{part}"), "/***");
                }
            }
        }
        hidden
    }
}

fn trimmed(part: &str) -> &str {
    part.trim_end_matches(['/', '?', '#', '&', ';'])
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether it can be a host, with or without a port.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '%')));
    let is_name = host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    (is_ipv6 || is_name) && port.is_none_or(is_port)
}

/// A name and password; what is percent-encoded stays.
fn encode_user(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for (i, part) in text.split('%').enumerate() {
        let is_code = part.len() >= 2 && part.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
        if i > 0 {
            encoded += if is_code { "%" } else { "%25" };
        }
        encoded.extend(utf8_percent_encode(part, USER));
    }
    encoded
}

/// A text as one part of a URL, every reserved character percent-encoded.
pub fn encode_url_component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).collect()
}

/// A host name as DNS knows it: an international one in its ASCII form (UTS 46), any other as it is.
pub fn ascii_host(host: &str) -> Result<Cow<'_, str>, String> {
    if host.is_ascii() {
        return Ok(Cow::Borrowed(host));
    }
    let ascii = idna::domain_to_ascii(host).map_err(|_| format!("{host:?} is no host name: correct it"))?;
    Ok(Cow::Owned(ascii))
}

/// A value that is or holds a URL, with the secrets hidden: of a URL only scheme, host and port stay.
///
/// A password may hold white space, so the URL reaches to the end of the text.
pub fn without_url_secrets(text: &str) -> String {
    let Some(mark) = text.find(MARK) else { return without_login(text) };
    let start = scheme_start(&text[..mark]);
    let shown = match StreamUrl::parse(&text[start..]) {
        Some(url) => url.shown(),
        None => format!("{MARK}{}", Secret::HIDDEN),
    };
    format!("{}{shown}", without_login(&text[..start]))
}

/// A line that names URLs, with their secrets hidden: a URL ends at white space or a quote.
pub fn line_without_url_secrets(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(mark) = rest.find(MARK) {
        let start = scheme_start(&rest[..mark]);
        let end = rest[mark..].find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`'));
        let end = end.map_or(rest.len(), |at| mark + at);
        shown += &rest[..start];
        shown +=
            &StreamUrl::parse(&rest[start..end]).map_or_else(|| rest[start..end].into(), |url| url.shown());
        rest = &rest[end..];
    }
    shown + rest
}

/// Where the scheme begins that ends this text.
fn scheme_start(before: &str) -> usize {
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    before.rfind(|c| !is_scheme(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8))
}

/// A URL whose scheme is misspelt still has its `name:password@`.
fn without_login(text: &str) -> String {
    match text.rfind('@') {
        Some(at) if text[..at].contains(':') => format!("{}{}", Secret::HIDDEN, &text[at..]),
        _ => text.to_owned(),
    }
}

/// A text that must not be repeated, and what to say instead.
#[derive(Clone)]
struct Hidden {
    secret: String,
    instead: String,
}

/// Takes the secrets of known URLs out of what a program says about them.
#[derive(Clone, Default)]
pub struct UrlSecrets(Vec<Hidden>);

impl UrlSecrets {
    /// Those of the URLs that are, or are in, these texts.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Vec::new();
        for text in texts {
            let Some(mark) = text.find(MARK) else { continue };
            let instead = without_url_secrets(text);
            if instead != text {
                all.push(Hidden { secret: text.to_owned(), instead });
            }
            // Both readings: to the end of the text, and to the next white space.
            let url = &text[scheme_start(&text[..mark])..];
            let short = url.split(char::is_whitespace).next().unwrap_or_default();
            for url in [url, short].into_iter().filter_map(StreamUrl::parse) {
                all.extend(url.encoded().map(|secret| Hidden { secret, instead: url.shown() }));
                all.extend(url.secrets());
            }
        }
        // A longer one may contain a shorter one.
        all.sort_by(|a, b| b.secret.len().cmp(&a.secret.len()).then_with(|| a.secret.cmp(&b.secret)));
        all.dedup_by(|a, b| a.secret == b.secret);
        Self(all)
    }

    /// The line without them, and without the secrets of any other URL.
    pub fn hide(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for Hidden { secret, instead } in &self.0 {
            if line.contains(secret.as_str()) {
                line = line.replace(secret.as_str(), instead);
            }
        }
        line_without_url_secrets(&line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::without_url_secrets as shown;
    use super::*;

    fn encoded(url: &str) -> String {
        StreamUrl::parse(url).unwrap().encoded().unwrap()
    }

    #[test]
    fn of_a_url_scheme_host_and_port_are_shown_and_nothing_else() {
        for (url, expected) in [
            ("rtsp://u:p@host:554/a?token=t", "rtsp://***@host:554/***"),
            ("rtsp://host/user=admin&password=kret9&channel=1", "rtsp://host/***"),
            ("-i rtsp://u:p@host/a b -f y4m", "-i rtsp://***@host/***"),
            ("rtsps://[fe80::1]:7441/T0KEN", "rtsps://[fe80::1]:7441/***"),
            ("RTSP://Kamera-Tür.example/", "rtsp://Kamera-Tür.example/"),
            ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),
            ("http://host?x", "http://host/***"),
        ] {
            assert_eq!(shown(url), expected);
        }
        for clear in ["/videos/gate.mp4", "rtsp://host", "what? me@home#1", "a:b", ""] {
            assert_eq!(shown(clear), clear);
        }
    }

    #[test]
    fn a_password_may_hold_any_sign() {
        for password in ["a b", "a#b", "a/b", "a?b", "a%b", "a'b", "a:b", "grün", "a\"b\\c"] {
            let url = format!("rtsp://me:{password}@host:554/x");
            assert_eq!(shown(&url), "rtsp://***@host:554/***", "{password}");
            let given = encoded(&url);
            let user = given.strip_prefix("rtsp://me:").unwrap().strip_suffix("@host:554/x").unwrap();
            assert_eq!(percent_decode_str(user).decode_utf8().unwrap(), password);
        }
        assert_eq!(encoded("rtsp://me:a%20b@host/x"), "rtsp://me:a%20b@host/x");
        assert_eq!(encoded("rtsp://u:p/w@host/a?x=b@c"), "rtsp://u:p%2Fw@host/a?x=b@c");
        assert_eq!(encoded("rtsp://u:p/w@x@host/a b"), "rtsp://u:p%2Fw%40x@host/a%20b");
    }

    #[test]
    fn a_text_with_two_readings_hides_the_host_too() {
        assert_eq!(shown("rtsp://u:p@ss/word@host/a"), "rtsp://***");
        assert_eq!(shown("http://host/a?q=x@y"), "http://***");
        assert_eq!(shown("rtsp://u:pass word"), "rtsp://***");
        assert_eq!(shown("rtsp:/u:p@host/a"), "***@host/a");
    }

    #[test]
    fn scheme_and_host_become_what_programs_know() {
        assert_eq!(encoded("RTSP://Tür.example:554/a"), "rtsp://xn--tr-xka.example:554/a");
        assert_eq!(encoded("rtsp://[::1]:8554/a"), "rtsp://[::1]:8554/a");
        assert!(StreamUrl::parse("rtsp://a\u{ad}\u{fffd}ä/x").unwrap().encoded().is_err());
        assert!(StreamUrl::parse("C:/odd name://x").is_none());
    }

    #[test]
    fn what_a_program_says_about_a_url_keeps_its_secrets() {
        let url = "rtsp://me:pa55 w'rd@host/user=admin&password=kret9&channel=1?t=t0ken";
        let secrets = UrlSecrets::of(["-i", url]);
        for line in [
            format!("{url}: Server returned 401"),
            format!("Impossible to open '{}'", encoded(url)),
            "no such resource /user=admin&password=kret9&channel=1".to_owned(),
            "redirected to http://me:pa55 w'rd@other/kret9?t=t0ken".to_owned(),
            "password 'kret9', 'pa55%20w%27rd' or 'pa55 w'\\''rd'".to_owned(),
        ] {
            let shown = secrets.hide(&line);
            assert!(!["kret9", "pa55", "t0ken"].iter().any(|secret| shown.contains(secret)), "{shown}");
        }
        assert_eq!(
            secrets.hide("method DESCRIBE failed: 401 Unauthorized"),
            "method DESCRIBE failed: 401 Unauthorized"
        );
        assert_eq!(
            UrlSecrets::default().hide("see 'http://host/key' or http://x/y."),
            "see 'http://host/***' or http://x/***"
        );
    }

    proptest! {
        #[test]
        fn no_secret_shows_and_hiding_twice_is_hiding_once(
            user in "[ -~]{0,4}S3CRET[ -~]{0,4}", path in "[ -~]{0,4}S3CRET[ -~]{0,4}",
            query in "[!-~]{0,4}S3CRET[!-~]{0,4}", before in "[^:]{0,8}",
        ) {
            let once = shown(&format!("{before} rtsp://{user}@host/{path}?{query}"));
            prop_assert!(!once.contains("S3CRET"), "{}", once);
            prop_assert_eq!(shown(&once), once.clone());
        }

        #[test]
        fn an_encoded_url_has_one_reading(
            user in "[!-~]{1,8}", password in "[ -~]{1,8}", path in "[ -~]{0,8}",
        ) {
            let url = format!("rtsp://{}:{}@host/{path}", encode_url_component(&user), encode_url_component(&password));
            let given = encoded(&url);
            prop_assert_eq!(encoded(&given), given.clone());
            let login = given["rtsp://".len()..].split('@').next().unwrap();
            let decoded = percent_decode_str(login).decode_utf8().unwrap().into_owned();
            prop_assert_eq!(decoded, format!("{user}:{password}"));
        }
    }
}
