//! URLs as they may be shown.

use super::Secret;

/// The text with the secrets of every URL in it hidden: user name and password, query, fragment.
///
/// A URL ends at white space. A password may hold any character, a slash or a question mark too, so that
/// rather too much is hidden than too little.
pub fn without_url_secrets(text: &str) -> String {
    const MARK: &str = "://";
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (scheme, url) = rest.split_at(at + MARK.len());
        let (url, after) = url.split_at(url.find(char::is_whitespace).unwrap_or(url.len()));
        shown.push_str(scheme);
        hide(url, &mut shown);
        rest = after;
    }
    shown + rest
}

/// Adds what follows `://`.
fn hide(url: &str, shown: &mut String) {
    let mark = url.find(['?', '#']);
    let user = url.rfind('@');
    match (user, mark) {
        // Either the password holds the mark or the query the at sign: nobody can tell.
        (Some(user), Some(mark)) if user > mark => {
            shown.push_str(Secret::HIDDEN);
            return;
        }
        (Some(_), _) => shown.push_str(Secret::HIDDEN),
        (None, _) => {}
    }
    shown.push_str(&url[user.unwrap_or(0)..mark.map_or(url.len(), |mark| mark + 1)]);
    // Of an empty query there is nothing to hide.
    if mark.is_some_and(|mark| mark + 1 < url.len()) {
        shown.push_str(Secret::HIDDEN);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::without_url_secrets as shown;

    #[test]
    fn user_query_and_fragment_of_a_url_are_hidden_and_nothing_else() {
        assert_eq!(shown("rtsp://u:p@host:554/a?token=t"), "rtsp://***@host:554/a?***");
        assert_eq!(
            shown("-i rtsp://u:p/@p@host/a http://x/y#t -f"),
            "-i rtsp://***@host/a http://x/y#*** -f"
        );
        assert_eq!(shown("http://x/y?"), "http://x/y?");
        for clear in ["a@b://c", "/videos/gate.mp4", "rtsp://host/a", "what? me@home#1", ""] {
            assert_eq!(shown(clear), clear);
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_hidden_in_both() {
        assert_eq!(shown("rtsp://u:p?w@host/a"), "rtsp://***");
        assert_eq!(shown("http://host/a?q=x@y"), "http://***");
        assert_eq!(shown("http://host/a?next=rtsp://u:p"), "http://host/a?***");
    }

    proptest! {
        #[test]
        fn no_secret_shows_and_hiding_twice_is_hiding_once(
            user in "[!-~]{0,4}S3CRET[!-~]{0,4}", query in "[!-~]{0,4}S3CRET[!-~]{0,4}", before in ".{0,8}",
        ) {
            let once = shown(&format!("{before} rtsp://{user}@host/x?{query}"));
            prop_assert!(!once.contains("S3CRET"), "{}", once);
            prop_assert_eq!(shown(&once), once.clone());
        }
    }
}
