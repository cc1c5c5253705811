//! Just enough of Redis's protocol to relay it: where a command or a reply ends,
//! and which commands are APPENDs.

use memchr::memchr;

/// A whole command at the beginning of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Its length in bytes.
    pub length: usize,
    /// What it appends, if it is an APPEND.
    pub appended: Option<&'a [u8]>,
}

/// A whole reply at the beginning of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its length in bytes.
    pub length: usize,
    /// Whether it is an error.
    pub error: bool,
}

/// The command that `bytes` begins with; `None` if it is not whole yet.
pub fn command(bytes: &[u8]) -> Option<Command<'_>> {
    if bytes.first()? != &b'*' {
        // An inline command, as people type them.
        return Some(Command {
            length: memchr(b'\n', bytes)? + 1,
            appended: None,
        });
    }
    let (arguments, mut at) = number(bytes)?;
    let mut append = false;
    let mut last: &[u8] = &[];
    for index in 0..arguments {
        let (length, head) = number(bytes.get(at..)?)?;
        let start = at + head;
        last = bytes.get(start..start + length as usize)?;
        at = start + length as usize + 2;
        append |= index == 0 && last.eq_ignore_ascii_case(b"APPEND");
    }
    (at <= bytes.len()).then_some(Command {
        length: at,
        appended: (append && arguments == 3).then_some(last),
    })
}

/// The reply that `bytes` begins with; `None` if it is not whole yet.
pub fn reply(bytes: &[u8]) -> Option<Reply> {
    let mut at = 0;
    let mut values = 1;
    let error = matches!(bytes.first()?, b'-' | b'!');
    while values > 0 {
        values -= 1;
        let rest = bytes.get(at..)?;
        match rest.first()? {
            kind @ (b'$' | b'=' | b'!' | b'*' | b'~' | b'>' | b'%') => {
                let (count, head) = number(rest)?;
                at += head;
                match kind {
                    // -1 is "no value", which has no body.
                    _ if count < 0 => {}
                    b'$' | b'=' | b'!' => at += count as usize + 2,
                    b'%' => values += 2 * count,
                    _ => values += count,
                }
            }
            _ => at += memchr(b'\n', rest)? + 1,
        }
    }
    (at <= bytes.len()).then_some(Reply { length: at, error })
}

/// The number behind a type byte, and the length of its line.
fn number(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut number: i64 = 0;
    let mut negative = false;
    for (at, &byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            b'0'..=b'9' => {
                number = number
                    .saturating_mul(10)
                    .saturating_add((byte - b'0').into())
            }
            b'-' => negative = true,
            b'\n' => return Some((if negative { -number } else { number }, at + 1)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A relay sees bytes cut anywhere: only the whole command or reply may count.
    #[test]
    fn commands_and_replies_are_seen_only_when_whole() {
        let append = b"*3\r\n$6\r\nAPPEND\r\n$3\r\na.b\r\n$4\r\n\r\n*3\r\n";
        for cut in 0..append.len() {
            assert_eq!(command(&append[..cut]), None);
        }
        let whole = Command {
            length: append.len(),
            appended: Some(b"\r\n*3"),
        };
        assert_eq!(command(append), Some(whole));
        let sadd = b"*3\r\n$4\r\nSADD\r\n$1\r\ns\r\n$1\r\nm\r\n";
        assert_eq!(
            command(sadd),
            Some(Command {
                length: sadd.len(),
                appended: None
            })
        );

        let replies: [&[u8]; 7] = [
            b":19\r\n",
            b"+OK\r\n",
            b"-ERR no\r\n",
            b"$-1\r\n",
            b"$3\r\na\r\n\r\n",
            b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n",
            b"%1\r\n+a\r\n*0\r\n",
        ];
        for bytes in replies {
            for cut in 0..bytes.len() {
                assert_eq!(reply(&bytes[..cut]), None);
            }
            let error = bytes[0] == b'-';
            assert_eq!(
                reply(bytes),
                Some(Reply {
                    length: bytes.len(),
                    error
                })
            );
        }
    }
}
