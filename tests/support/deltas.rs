//! Whole files as VCDIFF and back. Unit tests and those against other programs share it.
#![allow(clippy::cast_possible_truncation, reason = "the numbers are small")]

use super::{Encoder, Fault, HEADER, Window, check_header};

/// A file in windows of a given size.
pub(crate) fn encode(target: &[u8], base: &[u8], window: usize) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let mut delta = HEADER.to_vec();
    for (n, target) in target.chunks(window).enumerate() {
        let base = &base[base.len().min(n * window)..base.len().min((n + 1) * window)];
        encoder.window(target, base, (n * window) as u64, &mut delta);
    }
    delta
}

/// Rebuilds a file. The base may be too short for a window: then the window is given what there is.
pub(crate) fn decode(delta: &[u8], base: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut rest = &delta[check_header(delta)?..];
    let mut target = Vec::new();
    while let Some((window, len)) = Window::parse(rest)? {
        let skim = Window::skim(&rest[..rest.len().min(Window::SKIM_BYTES)])?.unwrap();
        assert_eq!((skim.source, skim.target_len, skim.window_len), (window.source(), window.target_len(), len as u64));
        let range = window.source().unwrap_or(0..0);
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap_or(usize::MAX).min(base.len()));
        let before = target.len();
        window.decode(&base[start..end], &mut target)?;
        assert_eq!((target.len() - before) as u64, window.target_len());
        rest = &rest[len..];
    }
    Ok(target)
}

/// Bytes that nothing is found in.
pub(crate) fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}
