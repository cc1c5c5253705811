//! The part of Redis's protocol (RESP2) that the data path speaks: APPEND and
//! SADD out, integers and errors in.
//!
//! ```text
//! *3\r\n$6\r\nAPPEND\r\n$11\r\nmetrics.a.b\r\n$19\r\n<records>\r\n     ->  :19\r\n
//! *4\r\n$4\r\nSADD\r\n$22\r\nmetrics.unique_metrics\r\n...             ->  :2\r\n
//! ```

/// Longest reply line that is waited for; Redis's own errors are far shorter.
const REPLY_BYTES_MAX: usize = 64 << 10;

/// Key lengths for which the head of an APPEND is kept ready.
const HEADS: usize = 256;

/// Writes commands. Holds the parts that are the same in all of them.
#[derive(Debug)]
pub struct Encoder {
    namespace: Vec<u8>,
    unique_metrics: Vec<u8>,
    /// By key length: everything of an APPEND in front of the metric's name.
    heads: Vec<Vec<u8>>,
    /// By length up to that of a single record: the end of the key, the
    /// record's length and its line end.
    middles: Vec<Vec<u8>>,
}

impl Encoder {
    /// For keys of `namespace`, such as `metrics.`.
    pub fn new(namespace: &str) -> Self {
        let namespace = namespace.as_bytes().to_vec();
        let mut unique_metrics = namespace.clone();
        unique_metrics.extend_from_slice(b"unique_metrics");
        let heads = (0..HEADS)
            .map(|key_bytes| append_head(key_bytes, &namespace))
            .collect();
        let middles = (0..=super::msgpack::RECORD_BYTES_MAX)
            .map(append_middle)
            .collect();
        Self {
            namespace,
            unique_metrics,
            heads,
            middles,
        }
    }

    /// Writes everything of an APPEND but its records and the line end behind
    /// them: `bytes` is the length of the records together.
    pub fn append_begin(&self, out: &mut Vec<u8>, name: &[u8], bytes: usize) {
        let key_bytes = self.namespace.len() + name.len();
        match self.heads.get(key_bytes) {
            Some(head) => out.extend_from_slice(head),
            None => out.extend_from_slice(&append_head(key_bytes, &self.namespace)),
        }
        out.extend_from_slice(name);
        match self.middles.get(bytes) {
            Some(middle) => out.extend_from_slice(middle),
            None => out.extend_from_slice(&append_middle(bytes)),
        }
    }

    /// Ends what [`Encoder::append_begin`] began.
    pub fn append_end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
    }

    /// Writes one SADD of all `names` to the set of known metrics. Members
    /// carry the namespace.
    pub fn sadd<'n>(&self, out: &mut Vec<u8>, names: impl ExactSizeIterator<Item = &'n [u8]>) {
        push_count(out, b'*', 2 + names.len());
        out.extend_from_slice(b"$4\r\nSADD\r\n");
        push_count(out, b'$', self.unique_metrics.len());
        out.extend_from_slice(&self.unique_metrics);
        for name in names {
            out.extend_from_slice(b"\r\n");
            push_count(out, b'$', self.namespace.len() + name.len());
            out.extend_from_slice(&self.namespace);
            out.extend_from_slice(name);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Bytes that an APPEND takes besides its name and records, at most.
    pub fn append_overhead_bytes(&self) -> usize {
        // Two lengths of up to 20 digits and the literal parts.
        self.namespace.len() + 64
    }
}

/// Writes any command; for the few that open a connection.
pub fn command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    push_count(out, b'*', arguments.len());
    for argument in arguments {
        push_count(out, b'$', argument.len());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

fn append_head(key_bytes: usize, namespace: &[u8]) -> Vec<u8> {
    let mut head = b"*3\r\n$6\r\nAPPEND\r\n".to_vec();
    push_count(&mut head, b'$', key_bytes);
    head.extend_from_slice(namespace);
    head
}

fn append_middle(bytes: usize) -> Vec<u8> {
    let mut middle = b"\r\n".to_vec();
    push_count(&mut middle, b'$', bytes);
    middle
}

fn push_count(out: &mut Vec<u8>, kind: u8, count: usize) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = count;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push(kind);
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// What Redis answered to one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `:n`
    Integer(i64),
    /// `+OK` and the like.
    Simple(&'a [u8]),
    /// `-CODE text`, without the minus sign.
    Error(&'a [u8]),
}

/// What the front of the received bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A reply, and the bytes it took.
    Reply(Reply<'a>, usize),
    /// Not yet all of a reply.
    Incomplete,
    /// Nothing that Redis would answer to these commands: the connection is of
    /// no more use.
    Garbage,
}

/// Reads the reply at the front of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some((&kind, rest)) = bytes.split_first() else {
        return Parsed::Incomplete;
    };
    if kind == b':' {
        return parse_integer(rest);
    }
    if kind != b'+' && kind != b'-' {
        return Parsed::Garbage;
    }
    let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() > REPLY_BYTES_MAX {
            Parsed::Garbage
        } else {
            Parsed::Incomplete
        };
    };
    let Some(line) = rest[..end].strip_suffix(b"\r") else {
        return Parsed::Garbage;
    };
    let reply = if kind == b'+' {
        Reply::Simple(line)
    } else {
        Reply::Error(line)
    };
    Parsed::Reply(reply, end + 2)
}

fn parse_integer(rest: &[u8]) -> Parsed<'_> {
    let mut value: i64 = 0;
    let mut negative = false;
    for (at, &byte) in rest.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                let digit = i64::from(byte - b'0');
                let Some(next) = value
                    .checked_mul(10)
                    .and_then(|tens| tens.checked_add(digit))
                else {
                    return Parsed::Garbage;
                };
                value = next;
            }
            b'-' if at == 0 => negative = true,
            b'\r' if at > usize::from(negative) => {
                return match rest.get(at + 1) {
                    Some(b'\n') => {
                        let value = if negative { -value } else { value };
                        Parsed::Reply(Reply::Integer(value), at + 3)
                    }
                    Some(_) => Parsed::Garbage,
                    None => Parsed::Incomplete,
                };
            }
            _ => return Parsed::Garbage,
        }
    }
    Parsed::Incomplete
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The oracle for what a command looks like is the redis crate.
    #[test]
    fn commands_are_those_of_the_redis_crate() {
        for name in ["a.b", "x", &"long.".repeat(80)] {
            for records in [&b"\x92\x01\x02"[..], &[0x92; 19], &[0x92; 40], &[7; 70_000]] {
                let encoder = Encoder::new("metrics.");
                let mut ours = Vec::new();
                encoder.append_begin(&mut ours, name.as_bytes(), records.len());
                ours.extend_from_slice(records);
                encoder.append_end(&mut ours);
                let key = format!("metrics.{name}");
                let theirs = redis::cmd("APPEND")
                    .arg(key)
                    .arg(records)
                    .get_packed_command();
                assert_eq!(ours, theirs);
                assert!(ours.len() <= name.len() + records.len() + encoder.append_overhead_bytes());
            }
        }
        let names = [&b"a.b"[..], b"c"];
        let mut ours = Vec::new();
        Encoder::new("metrics.").sadd(&mut ours, names.iter().copied());
        let theirs = redis::cmd("SADD")
            .arg(&["metrics.unique_metrics", "metrics.a.b", "metrics.c"])
            .get_packed_command();
        assert_eq!(ours, theirs);
        let mut ours = Vec::new();
        command(&mut ours, &[b"SELECT", b"1"]);
        assert_eq!(ours, redis::cmd("SELECT").arg(1).get_packed_command());
    }

    #[test]
    fn replies_are_read_and_what_is_no_reply_is_refused() {
        assert_eq!(parse(b":19\r\n:3"), Parsed::Reply(Reply::Integer(19), 5));
        assert_eq!(parse(b":-1\r\n"), Parsed::Reply(Reply::Integer(-1), 5));
        assert_eq!(parse(b"+OK\r\n"), Parsed::Reply(Reply::Simple(b"OK"), 5));
        assert_eq!(
            parse(b"-OOM no\r\n"),
            Parsed::Reply(Reply::Error(b"OOM no"), 9)
        );
        for garbage in [
            &b"$3\r\n"[..],
            b":\r\n",
            b":-\r\n",
            b":1x",
            b":1\rx",
            b"+OK\n",
            b":99999999999999999999",
        ] {
            assert_eq!(parse(garbage), Parsed::Garbage, "{garbage:?}");
        }
        assert_eq!(parse(&[b'-'; REPLY_BYTES_MAX + 1]), Parsed::Garbage);
    }

    #[test]
    fn a_reply_cut_at_any_byte_is_incomplete() {
        for reply in [
            &b":19\r\n"[..],
            b":-19\r\n",
            b"+OK\r\n",
            b"-LOADING wait\r\n",
        ] {
            for cut in 0..reply.len() {
                assert_eq!(
                    parse(&reply[..cut]),
                    Parsed::Incomplete,
                    "{:?}",
                    &reply[..cut]
                );
            }
        }
    }

    proptest! {
        /// Whatever Redis, or something in its place, may say: no panic, and
        /// never more taken than there is.
        #[test]
        fn any_bytes_are_read_safely(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Parsed::Reply(_, taken) = parse(&bytes) {
                prop_assert!(taken <= bytes.len());
            }
        }
    }
}
