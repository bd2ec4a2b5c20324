//! Pages on their way to the Parquet reader, and what they claim.
//!
//! The reader makes room for as many lengths of byte strings as a page says it has, before it looks for them: a number in a file
//! that somebody planted would end the process. A page that does not hold what it claims goes no further than here.

use std::sync::Arc;

use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Encoding;
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
        Ok(Pages { pages: SerializedPageReader::new(Arc::clone(&self.parts), column, rows, locations)?, max })
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
    max: LevelsMax,
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let page = self.pages.get_next_page()?;
        match page.as_ref().is_none_or(|page| holds_what_it_claims(page, self.max)) {
            true => Ok(page),
            false => Err(strange("more byte strings than a page holds")),
        }
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
        self.pages.take_deferred_dictionary()
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

/// Costs a look at each 128 lengths, in the two encodings that have any.
fn holds_what_it_claims(page: &Page, max: LevelsMax) -> bool {
    let lists = match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        Encoding::DELTA_BYTE_ARRAY => 2, // what each has in common with the one before it, and what not
        _ => return true,
    };
    let mut values = values(page, max);
    for _ in 0..lists {
        values = values.and_then(|bytes| skip_lengths(bytes, page.num_values()));
    }
    values.is_some()
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
