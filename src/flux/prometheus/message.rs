//! Remote write 1.0 on the wire: a `prometheus.WriteRequest` in protobuf, compressed
//! by snappy's block format. The messages are those of Prometheus's
//! `prompb/remote.proto` and `prompb/types.proto`.

use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Longest encoding of one series: in memory a hostile one takes 24 times as much.
const SERIES_BYTES_MAX: u64 = 1 << 20;

/// Samples of one labelled series.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Its labels, the name as `__name__` among them.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Its samples.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// One label.
#[derive(Clone, PartialEq, Eq, Message)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// One sample.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// The value; a special NaN says that the series has ended.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// Why a body is no write request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// Its end or its check fails.
    #[error("the body is not compressed by snappy's block format: {0}")]
    Snappy(String),
    /// It says that it is longer than it may be.
    #[error(
        "the body is of {bytes} bytes when decompressed, of which at most {max} are taken: lower \
         max_samples_per_send of Prometheus's queue_config"
    )]
    TooLong {
        /// What it says.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// It is no message.
    #[error("the body is no prometheus.WriteRequest in protobuf: {0}")]
    Protobuf(String),
    /// One series is too long.
    #[error("a series is of {0} bytes, of which at most {SERIES_BYTES_MAX} are taken")]
    SeriesTooLong(u64),
}

/// Decompresses a body to at most `bytes_max` bytes. The length it claims is looked
/// at before anything is allocated.
///
/// # Errors
///
/// [`BadBody::Snappy`] and [`BadBody::TooLong`].
pub fn decompress(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, BadBody> {
    let snappy = |error: snap::Error| BadBody::Snappy(error.to_string());
    let bytes = snap::raw::decompress_len(body).map_err(snappy)?;
    if bytes > bytes_max {
        let max = bytes_max;
        return Err(BadBody::TooLong { bytes, max });
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(snappy)
}

/// The series of a write request, decoded one by one, so that a body never takes
/// much more memory than it has bytes. Metadata are passed over.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    rest: &'a [u8],
}

impl<'a> Series<'a> {
    /// Of a message in protobuf.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn next_series(&mut self) -> Result<Option<TimeSeries>, BadBody> {
        let bad = |error: prost::DecodeError| BadBody::Protobuf(error.to_string());
        while self.rest.has_remaining() {
            let (tag, kind) = decode_key(&mut self.rest).map_err(bad)?;
            if tag != 1 {
                skip_field(kind, tag, &mut self.rest, DecodeContext::default()).map_err(bad)?;
                continue;
            }
            if kind != WireType::LengthDelimited {
                return Err(BadBody::Protobuf(
                    "a series of another wire type".to_owned(),
                ));
            }
            let bytes = decode_varint(&mut self.rest).map_err(bad)?;
            if bytes > SERIES_BYTES_MAX {
                return Err(BadBody::SeriesTooLong(bytes));
            }
            let Some((series, rest)) = self.rest.split_at_checked(bytes as usize) else {
                return Err(BadBody::Protobuf("cut short".to_owned()));
            };
            self.rest = rest;
            return TimeSeries::decode(series).map(Some).map_err(bad);
        }
        Ok(None)
    }
}

impl Iterator for Series<'_> {
    type Item = Result<TimeSeries, BadBody>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_series();
        if next.is_err() {
            self.rest = &[];
        }
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    /// As Prometheus declares it; here only to make bodies of.
    #[derive(Clone, PartialEq, Message)]
    struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        timeseries: Vec<TimeSeries>,
        #[prost(bytes = "vec", repeated, tag = "3")]
        metadata: Vec<Vec<u8>>,
    }

    fn any_series() -> impl Strategy<Value = TimeSeries> {
        let label = (".{0,8}", ".{0,8}").prop_map(|(name, value)| Label { name, value });
        let sample = (any::<f64>(), any::<i64>());
        let sample = sample.prop_map(|(value, timestamp)| Sample { value, timestamp });
        (
            prop::collection::vec(label, 0..5),
            prop::collection::vec(sample, 0..5),
        )
            .prop_map(|(labels, samples)| TimeSeries { labels, samples })
    }

    fn read(message: &[u8]) -> Result<Vec<TimeSeries>, BadBody> {
        Series::new(message).collect()
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_back(timeseries in prop::collection::vec(any_series(), 0..8)) {
            let metadata = vec![b"\x08\x01".to_vec(); timeseries.len() % 3];
            let request = WriteRequest { timeseries, metadata };
            let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap();
            let message = decompress(&body, 1 << 20).unwrap();
            prop_assert_eq!(read(&message), Ok(request.timeseries));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decompress(&bytes, 1 << 16);
            let _ = read(&bytes);
        }

        #[test]
        fn a_message_that_is_cut_in_a_series_is_refused(series in any_series()) {
            prop_assume!(series.encoded_len() > 0);
            let request = WriteRequest { timeseries: vec![series], metadata: Vec::new() };
            let message = request.encode_to_vec();
            prop_assert!(read(&message[..message.len() - 1]).is_err());
        }
    }

    // The claim alone would make the decoder ask for 4 GiB.
    #[test]
    fn a_body_that_claims_too_much_is_refused_before_anything_is_allocated() {
        let body = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        let bytes = u32::MAX as usize;
        assert_eq!(
            decompress(&body, 1 << 20),
            Err(BadBody::TooLong {
                bytes,
                max: 1 << 20
            })
        );
    }

    #[test]
    fn a_series_that_claims_too_much_is_refused() {
        let message = [0x0a, 0x81, 0x80, 0x40];
        assert_eq!(read(&message), Err(BadBody::SeriesTooLong((1 << 20) + 1)));
        assert!(matches!(
            read(&[0x0a, 0x05, 0x00]),
            Err(BadBody::Protobuf(_))
        ));
        assert!(matches!(read(&[0x08, 0x05]), Err(BadBody::Protobuf(_))));
    }

    // Kept by the fuzzer in tests/fuzz.
    #[test]
    fn the_corpus_is_read_or_refused() {
        let corpus = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fuzz/corpus/remote_write"
        );
        let mut count = 0;
        for file in std::fs::read_dir(corpus).unwrap() {
            let body = std::fs::read(file.unwrap().path()).unwrap();
            if let Ok(message) = decompress(&body, 1 << 20) {
                let _ = read(&message);
            }
            count += 1;
        }
        assert!(count > 0);
    }
}
