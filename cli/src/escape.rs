//! Strings from the kernel, from containers and from name servers, made harmless: the one place that lets
//! them out. A terminal, a CSV column and a JSON string each get text without control characters, and nothing
//! is lost: every escape can be read back.
//!
//! Shown as they are: printable characters. Else, on terminals and in CSV: `\\` for a backslash, `\x1b` for
//! an ASCII control character and for a byte that is not UTF-8, `\u{202e}` for any other character that does
//! not print (direction overrides, C1 controls, line separators, combining marks). JSON: see `json`.

/// Appends `bytes` for a terminal, at most `most` characters of output; an escape is not cut in two.
pub fn terminal(bytes: &[u8], most: usize, out: &mut Vec<u8>) {
    let mut room = most;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if !push(character, &mut room, out) {
                return;
            }
        }
        for byte in chunk.invalid() {
            if !hex(*byte, &mut room, out) {
                return;
            }
        }
    }
}

/// Appends `bytes` as one CSV field (RFC 4180): escaped as for a terminal, in quotes where a comma, a quote
/// or a space at either end asks for them.
pub fn csv(bytes: &[u8], out: &mut Vec<u8>) {
    let at_ends = bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ');
    if !at_ends && !bytes.iter().any(|byte| matches!(byte, b',' | b'"')) {
        return terminal(bytes, usize::MAX, out);
    }
    out.push(b'"');
    // A quote is doubled; the rest of the string between two quotes is escaped as usual.
    for (index, part) in bytes.split(|byte| *byte == b'"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        terminal(part, usize::MAX, out);
    }
    out.push(b'"');
}

/// Appends `bytes` as a JSON string with its quotes. Characters that do not print are `\uXXXX`. Bytes that are
/// not UTF-8 become U+FFFD, and the answer is `false`: the caller adds the bytes in hexadecimal beside it.
pub fn json(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let mut whole = true;
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            json_character(character, out);
        }
        if !chunk.invalid().is_empty() {
            whole = false;
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
    whole
}

/// Appends JSON that somebody else wrote, with what does not print escaped: outside of its strings there is none.
pub fn json_text(text: &str, out: &mut Vec<u8>) {
    for character in text.chars() {
        match character {
            '"' | '\\' => push_char(character, out),
            _ => json_character(character, out),
        }
    }
}

/// Text of ours or of the user's on one line of a terminal, control characters escaped. Backslashes stay:
/// this is for messages, where `C:\x` in an argument should look as it was typed.
pub fn line(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    for character in text.chars() {
        if character == '\\' {
            out.push(b'\\');
        } else {
            push(character, &mut usize::MAX.clone(), &mut out);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn json_character(character: char, out: &mut Vec<u8>) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ if prints(character) => push_char(character, out),
        _ => {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(DIGITS[usize::from(*unit >> shift & 0xf)]);
                }
            }
        }
    }
}

fn push(character: char, room: &mut usize, out: &mut Vec<u8>) -> bool {
    match character {
        '\\' => reserve(2, room) && extend(b"\\\\", out),
        '\0'..='\x1f' | '\x7f' => hex(character as u8, room, out),
        _ if prints(character) => {
            if !reserve(1, room) {
                return false;
            }
            push_char(character, out);
            true
        }
        _ => {
            let number = u32::from(character);
            let digits = (8 - number.leading_zeros() as usize / 4).max(1);
            if !reserve(digits + 4, room) {
                return false;
            }
            out.extend_from_slice(b"\\u{");
            for digit in (0..digits).rev() {
                out.push(DIGITS[(number >> (4 * digit) & 0xf) as usize]);
            }
            out.push(b'}');
            true
        }
    }
}

fn hex(byte: u8, room: &mut usize, out: &mut Vec<u8>) -> bool {
    reserve(4, room)
        && extend(&[b'\\', b'x', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]], out)
}

/// Whether a character may reach a terminal as it is. The standard library's own judgement: what `Debug`
/// would escape is not printable, or changes how its neighbours look.
fn prints(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\0'..='\u{9f}' => false,
        _ => character.escape_debug().len() == 1,
    }
}

fn push_char(character: char, out: &mut Vec<u8>) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn reserve(characters: usize, room: &mut usize) -> bool {
    match room.checked_sub(characters) {
        Some(rest) => {
            *room = rest;
            true
        }
        None => {
            *room = 0;
            false
        }
    }
}

fn extend(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(bytes);
    true
}

/// Lower-case digits of hexadecimal.
pub const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{csv, json, line, terminal};

    fn shown(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        terminal(bytes, usize::MAX, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn field(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        csv(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn string(bytes: &[u8]) -> (String, bool) {
        let mut out = Vec::new();
        let whole = json(bytes, &mut out);
        (String::from_utf8(out).unwrap(), whole)
    }

    #[test]
    fn plain_names_stay_as_they_are() {
        assert_eq!(shown(b"kworker/0:1"), "kworker/0:1");
        assert_eq!(shown("früh".as_bytes()), "früh");
        assert_eq!(field(b"nginx"), "nginx");
        assert_eq!(string(b"nginx"), ("\"nginx\"".to_owned(), true));
    }

    #[test]
    fn controls_and_broken_utf8_are_visible() {
        assert_eq!(shown(b"\x1b[2J\x07"), "\\x1b[2J\\x07");
        assert_eq!(shown(b"a\nb\tc\x7f"), "a\\x0ab\\x09c\\x7f");
        assert_eq!(shown(b"\xff\xfea"), "\\xff\\xfea");
        assert_eq!(shown("\u{9b}31m".as_bytes()), "\\u{9b}31m");
        assert_eq!(shown("\u{202e}txt".as_bytes()), "\\u{202e}txt");
        assert_eq!(shown("e\u{301}".as_bytes()), "e\\u{301}");
        assert_eq!(shown(b"a\\x1b"), "a\\\\x1b");
    }

    #[test]
    fn an_escape_is_not_cut_in_two() {
        let cut = |most| {
            let mut out = Vec::new();
            terminal(b"abc\x1bdef", most, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(cut(3), "abc");
        assert_eq!(cut(6), "abc");
        assert_eq!(cut(7), "abc\\x1b");
        assert_eq!(cut(8), "abc\\x1bd");
    }

    #[test]
    fn csv_fields_are_quoted_where_needed() {
        assert_eq!(field(b"a,b"), "\"a,b\"");
        assert_eq!(field(b"a\"b"), "\"a\"\"b\"");
        assert_eq!(field(b" a"), "\" a\"");
        assert_eq!(field(b"a\nb"), "a\\x0ab");
        assert_eq!(field(b""), "");
    }

    #[test]
    fn json_strings_are_ascii_where_they_do_not_print() {
        assert_eq!(string(b"\x1b\"\\\n").0, "\"\\u001b\\\"\\\\\\n\"");
        assert_eq!(string("\u{e0001}".as_bytes()).0, "\"\\udb40\\udc01\"");
        assert_eq!(string(b"a\xffb"), ("\"a\u{fffd}b\"".to_owned(), false));
    }

    #[test]
    fn messages_keep_backslashes_and_stay_on_one_line() {
        assert_eq!(line("no \"a\\b\n\x1b\""), "no \"a\\b\\x0a\\x1b\"");
    }

    /// Reads the escapes of `terminal` back.
    fn read_back(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            if character != '\\' {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            } else if let Some(after) = rest.strip_prefix('\\') {
                bytes.push(b'\\');
                rest = after;
            } else if let Some(after) = rest.strip_prefix("u{") {
                let (digits, after) = after.split_once('}').unwrap();
                let number = u32::from_str_radix(digits, 16).unwrap();
                bytes.extend_from_slice(char::from_u32(number).unwrap().to_string().as_bytes());
                rest = after;
            } else {
                bytes.push(u8::from_str_radix(&rest[1..3], 16).unwrap());
                rest = &rest[3..];
            }
        }
        bytes
    }

    fn harmless(text: &str) -> bool {
        text.chars().all(|character| !character.is_control() && character != '\u{202e}')
    }

    proptest! {
        #[test]
        fn nothing_reaches_a_terminal_that_controls_it_and_nothing_is_lost(bytes in any::<Vec<u8>>()) {
            let text = shown(&bytes);
            prop_assert!(harmless(&text), "{text:?}");
            prop_assert_eq!(read_back(&text), bytes);
        }

        #[test]
        fn what_is_cut_fits_and_is_a_beginning(bytes in any::<Vec<u8>>(), most in 0usize..40) {
            let mut out = Vec::new();
            terminal(&bytes, most, &mut out);
            let text = String::from_utf8(out).unwrap();
            prop_assert!(text.chars().count() <= most);
            prop_assert!(shown(&bytes).starts_with(&text));
        }

        #[test]
        fn a_csv_field_is_one_field_on_one_line(bytes in any::<Vec<u8>>()) {
            let text = field(&bytes);
            prop_assert!(harmless(&text));
            let inner = if let Some(quoted) = text.strip_prefix('"') {
                let inner = quoted.strip_suffix('"').unwrap();
                prop_assert!(!inner.replace("\"\"", "").contains('"'));
                inner.replace("\"\"", "\"")
            } else {
                prop_assert!(!text.contains([',', '"']));
                text
            };
            prop_assert_eq!(read_back(&inner), bytes);
        }

        #[test]
        fn a_json_string_reads_back_or_says_that_it_cannot(bytes in any::<Vec<u8>>()) {
            let (text, whole) = string(&bytes);
            prop_assert!(harmless(&text));
            let value: String = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(whole, std::str::from_utf8(&bytes).is_ok());
            prop_assert_eq!(value, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
