//! Pages on their way to the Parquet reader, and what they claim.
//!
//! The reader makes room for as many lengths of byte strings as a page says it has, and for as many values of a dictionary, before
//! it looks for them: a number in a file that somebody planted would end the process. A page that does not hold what it claims
//! goes no further than here.

use std::sync::Arc;

use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Encoding;
use parquet::basic::Type;
use parquet::column::page::Page;
use parquet::column::page::PageIterator;
use parquet::column::page::PageMetadata;
use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::hybrid::skip_lengths;
use super::page::LevelsMax;
use super::parts::Parts;

/// One row group of a chunk.
pub(super) struct Guarded {
    pub parts: Arc<Parts>,
    pub metadata: Arc<ParquetMetaData>,
    pub row_group: usize,
}

impl Guarded {
    fn group(&self) -> &RowGroupMetaData {
        self.metadata.row_group(self.row_group)
    }

    fn pages(&self, leaf: usize) -> Result<Pages, ParquetError> {
        let group = self.group();
        let column = group.column(leaf);
        let index = self.metadata.page_index();
        let locations = index.and_then(|index| index.page_locations(self.row_group, leaf).cloned());
        let rows = usize::try_from(group.num_rows()).map_err(|_| strange("a number of rows"))?;
        let described = column.column_descr();
        let max = LevelsMax {
            definition: described.max_def_level().unsigned_abs(),
            repetition: described.max_rep_level().unsigned_abs(),
        };
        let claims = Claims {
            max,
            values: u64::try_from(column.num_values()).map_err(|_| strange("a number of values"))?,
            dictionary_width: width(described.physical_type(), described.type_length()),
        };
        Ok(Pages { pages: SerializedPageReader::new(Arc::clone(&self.parts), column, rows, locations)?, claims })
    }
}

impl RowGroups for Guarded {
    fn num_rows(&self) -> usize {
        usize::try_from(self.group().num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>, ParquetError> {
        let pages: Result<Box<dyn PageReader>, _> = self.pages(leaf).map(|pages| Box::new(pages) as _);
        Ok(Box::new(Once(std::iter::once(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.group()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The pages of one column of one row group.
struct Once(std::iter::Once<Result<Box<dyn PageReader>, ParquetError>>);

impl Iterator for Once {
    type Item = Result<Box<dyn PageReader>, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl PageIterator for Once {}

struct Pages {
    pages: SerializedPageReader<Parts>,
    claims: Claims,
}

/// What the pages of one column are held against.
#[derive(Clone, Copy)]
struct Claims {
    max: LevelsMax,
    /// Of all its pages together, as the footer says, which the memory of the read is taken for.
    values: u64,
    /// Bytes that each value of a dictionary takes at least.
    dictionary_width: usize,
}

impl Claims {
    fn check(self, page: Option<Page>) -> Result<Option<Page>, ParquetError> {
        match page.as_ref().is_none_or(|page| self.holds(page)) {
            true => Ok(page),
            false => Err(strange("more values than a page holds")),
        }
    }

    /// Costs a look at each 128 lengths, in the two encodings that have any.
    fn holds(self, page: &Page) -> bool {
        if let Page::DictionaryPage { buf, num_values, .. } = page {
            return (*num_values as usize).saturating_mul(self.dictionary_width) <= buf.len();
        }
        let behind = |bytes| skip_lengths(bytes, page.num_values());
        let lengths = match page.encoding() {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => values(page, self.max).and_then(behind).is_some(),
            // What each has in common with the one before it, and what not.
            Encoding::DELTA_BYTE_ARRAY => values(page, self.max).and_then(behind).and_then(behind).is_some(),
            _ => true,
        };
        lengths && u64::from(page.num_values()) <= self.values
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        self.claims.check(self.pages.get_next_page()?)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.pages.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.pages.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>, ParquetError> {
        self.claims.check(self.pages.take_deferred_dictionary()?)
    }

    fn at_record_boundary(&mut self) -> Result<bool, ParquetError> {
        self.pages.at_record_boundary()
    }
}

impl Iterator for Pages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

fn strange(what: &str) -> ParquetError {
    ParquetError::General(format!("it claims {what}"))
}

/// Bytes of a value in a dictionary; of a byte string, those of its length.
fn width(kind: Type, fixed_len: i32) -> usize {
    match kind {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => usize::try_from(fixed_len).unwrap_or(0),
    }
}

/// What lies behind the levels; `None` when they are cut off, or in an encoding that nobody writes.
fn values(page: &Page, max: LevelsMax) -> Option<&[u8]> {
    match page {
        Page::DataPage { buf, def_level_encoding, rep_level_encoding, .. } => {
            let mut rest: &[u8] = buf;
            for (max, encoding) in [(max.repetition, rep_level_encoding), (max.definition, def_level_encoding)] {
                if max > 0 {
                    (*encoding == Encoding::RLE).then_some(())?;
                    let (len, behind) = rest.split_first_chunk()?;
                    rest = behind.get(u32::from_le_bytes(*len) as usize..)?;
                }
            }
            Some(rest)
        }
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            buf.get((*def_levels_byte_len as usize).checked_add(*rep_levels_byte_len as usize)?..)
        }
        Page::DictionaryPage { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::hybrid::encode_lengths;
    use super::*;

    const CLAIMS: Claims = Claims { max: LevelsMax { definition: 1, repetition: 0 }, values: 5, dictionary_width: 4 };

    fn dictionary(num_values: u32) -> Page {
        let buf = Bytes::from_static(&[0; 20]);
        Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, is_sorted: false }
    }

    /// Three levels, then what `values` says.
    fn page(num_values: u32, encoding: Encoding, values: &[u8]) -> Page {
        let buf = [&2u32.to_le_bytes(), &[10, 1][..], values].concat().into();
        let rle = Encoding::RLE;
        Page::DataPage { buf, num_values, encoding, def_level_encoding: rle, rep_level_encoding: rle, statistics: None }
    }

    #[test]
    fn a_page_holds_what_it_claims_and_no_more() {
        assert!(CLAIMS.holds(&dictionary(5)) && !CLAIMS.holds(&dictionary(6)));
        assert!(CLAIMS.holds(&page(5, Encoding::PLAIN, b"")));
        assert!(!CLAIMS.holds(&page(6, Encoding::PLAIN, b"")), "more than the whole column has");
        let mut lengths = Vec::new();
        encode_lengths(&mut lengths, &[1, 2, 3]);
        let twice = lengths.repeat(2);
        for (encoding, whole) in [(Encoding::DELTA_LENGTH_BYTE_ARRAY, &lengths), (Encoding::DELTA_BYTE_ARRAY, &twice)] {
            assert!(CLAIMS.holds(&page(3, encoding, whole)), "{encoding}");
            assert!(!CLAIMS.holds(&page(2, encoding, whole)), "{encoding}: more lengths than values");
            assert!(!CLAIMS.holds(&page(3, encoding, &whole[..whole.len() - 1])), "{encoding}: cut off");
        }
        assert!(!CLAIMS.holds(&page(3, Encoding::DELTA_BYTE_ARRAY, &lengths)), "the second list is missing");
    }
}
