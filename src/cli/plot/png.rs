//! A picture of few colours as a PNG file (ISO/IEC 15948): one palette, one byte a pixel, no filter.
#![expect(clippy::big_endian_bytes, reason = "the format's numbers are")]

use std::io;
use std::io::Write;

use flate2::Compression;
use flate2::Crc;
use flate2::write::ZlibEncoder;

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// * `pixels`: a byte each, the index of its colour; rows of `width` from the top.
///
/// # Errors
/// Where the pixels are no whole rows.
pub fn png(width: usize, pixels: &[u8], palette: &[[u8; 3]]) -> io::Result<Vec<u8>> {
    let odd = || io::Error::new(io::ErrorKind::InvalidInput, format!("{} pixels in rows of {width}", pixels.len()));
    let height = pixels.len().checked_div(width).filter(|height| height * width == pixels.len()).ok_or_else(odd)?;
    let size = |length: usize| u32::try_from(length).map(u32::to_be_bytes).map_err(|_| odd());
    let mut out = SIGNATURE.to_vec();
    // Eight bits, a palette, deflate, the one set of filters, not interlaced.
    let head = [size(width)?.as_slice(), &size(height)?, &[8, 3, 0, 0, 0]].concat();
    part(&mut out, *b"IHDR", &head)?;
    part(&mut out, *b"PLTE", palette.as_flattened())?;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in pixels.chunks(width.max(1)) {
        packed.write_all(&[0])?; // not filtered
        packed.write_all(row)?;
    }
    part(&mut out, *b"IDAT", &packed.finish()?)?;
    part(&mut out, *b"IEND", &[])?;
    Ok(out)
}

fn part(out: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(data.len()).map_err(io::Error::other)?;
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(data);
    for piece in [&length.to_be_bytes(), &kind, data, &crc.sum().to_be_bytes()] {
        out.extend_from_slice(piece);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;

    use super::*;

    #[test]
    fn the_parts_are_where_readers_look_for_them() {
        let file = png(3, &[0, 1, 0, 1, 0, 1], &[[255, 255, 255], [1, 2, 3]]).unwrap();
        assert_eq!(&file[..8], SIGNATURE);
        let (mut at, mut kinds, mut pixels) = (8, Vec::new(), Vec::new());
        while at < file.len() {
            let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
            let (kind, data) = (&file[at + 4..at + 8], &file[at + 8..at + 8 + length]);
            let mut crc = Crc::new();
            crc.update(&file[at + 4..at + 8 + length]);
            assert_eq!(crc.sum().to_be_bytes(), file[at + 8 + length..at + 12 + length]);
            if kind == b"IDAT" {
                ZlibDecoder::new(data).read_to_end(&mut pixels).unwrap();
            }
            kinds.push(String::from_utf8(kind.to_vec()).unwrap());
            at += 12 + length;
        }
        assert_eq!(kinds, ["IHDR", "PLTE", "IDAT", "IEND"]);
        assert_eq!(pixels, [0, 0, 1, 0, 0, 1, 0, 1]);
        assert!(png(3, &[0; 4], &[]).is_err() && png(0, &[0], &[]).is_err());
    }
}
