//! From compressed frames to tar bytes, on several threads.
//!
//! A source gives frames in order; threads decompress them in any order and look at each at once (`inspect`); then
//! every frame passes one more stage in order (`in_order`), for what needs the order, such as the SHA-256 of a large
//! file. A frame that cannot be decompressed passes both stages as `None`: damage in one place must not cost the rest.

use std::collections::BTreeMap;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use zstd::bulk::Decompressor;

use super::frames::LARGE_FRAME;

/// A frame on its way through.
pub(super) struct Frame {
    /// Its number in the archive.
    pub(super) number: usize,
    /// Its size, decompressed, as the seek table says.
    pub(super) plain_bytes: usize,
    /// As stored, or `None` when it could not even be read.
    pub(super) compressed: Option<Bytes>,
}

struct Job {
    turn: usize,
    frame: Frame,
    buffer: Vec<u8>,
}

struct Done {
    number: usize,
    buffer: Vec<u8>,
    whole: bool,
}

/// Decompresses what `source` sends, until it returns or `in_order` fails.
pub(super) fn decode<S: Send, E: Send>(
    threads: usize,
    source: impl FnOnce(&mut dyn FnMut(Frame) -> bool) -> S + Send,
    inspect: impl Fn(usize, Option<&[u8]>) + Sync,
    mut in_order: impl FnMut(usize, Option<&[u8]>) -> Result<(), E>,
) -> (S, Result<(), E>) {
    // Without any thread nothing would be looked at, and nothing found wrong.
    let threads = threads.max(1);
    let buffers = 2 * threads + 1;
    let (free, pool) = bounded::<Vec<u8>>(buffers);
    for _ in 0..buffers {
        free.send(Vec::new()).expect("the pool holds its buffers");
    }
    let (jobs, jobs_received) = bounded::<Job>(buffers);
    let (done, done_received) = bounded::<(usize, Done)>(buffers);
    std::thread::scope(|scope| {
        let source = scope.spawn(move || {
            let mut turn = 0;
            // The buffer is taken before the frame gets its turn: whoever is next in order always has one.
            let mut send = |frame: Frame| {
                let Ok(buffer) = pool.recv() else { return false };
                turn += 1;
                jobs.send(Job { turn: turn - 1, frame, buffer }).is_ok()
            };
            source(&mut send)
        });
        for _ in 0..threads {
            let (jobs, done, inspect) = (jobs_received.clone(), done.clone(), &inspect);
            scope.spawn(move || decompress_jobs(&jobs, &done, inspect));
        }
        drop((jobs_received, done));
        let result = pass_in_order(&done_received, &free, &mut in_order);
        // Ends the other threads, if they have not ended by themselves.
        drop((done_received, free));
        match source.join() {
            Ok(source) => (source, result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn pass_in_order<E>(
    done: &Receiver<(usize, Done)>,
    free: &Sender<Vec<u8>>,
    in_order: &mut impl FnMut(usize, Option<&[u8]>) -> Result<(), E>,
) -> Result<(), E> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    for (turn, frame) in done {
        early.insert(turn, frame);
        while let Some(frame) = early.remove(&next) {
            next += 1;
            in_order(frame.number, frame.whole.then_some(frame.buffer.as_slice()))?;
            // Nobody takes it any more once the source has ended.
            drop(free.try_send(frame.buffer));
        }
    }
    Ok(())
}

fn decompress_jobs(jobs: &Receiver<Job>, done: &Sender<(usize, Done)>, inspect: &impl Fn(usize, Option<&[u8]>)) {
    let mut decompressor = Decompressor::new().ok();
    for Job { turn, frame, mut buffer } in jobs {
        let whole = decompressor
            .as_mut()
            .zip(frame.compressed.as_ref())
            .is_some_and(|(decompressor, compressed)| unpack(decompressor, compressed, frame.plain_bytes, &mut buffer));
        inspect(frame.number, whole.then_some(buffer.as_slice()));
        if done.send((turn, Done { number: frame.number, buffer, whole })).is_err() {
            return;
        }
    }
}

/// Unpacks one frame; false when it is damaged or not of the size it should have.
pub(super) fn unpack(
    decompressor: &mut Decompressor<'_>,
    compressed: &[u8],
    plain_bytes: usize,
    buffer: &mut Vec<u8>,
) -> bool {
    buffer.clear();
    // The seek table was checked against the size that frames may have: no bomb gets further than that.
    buffer.reserve(plain_bytes.max(LARGE_FRAME));
    matches!(decompressor.decompress_to_buffer(compressed, buffer), Ok(size) if size == plain_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::frames::compress;
    use crate::cancel::Cancel;

    fn frames(count: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        let (produced, emitted) = compress::<_, ()>(
            1,
            2,
            &Cancel::new(),
            |mut cutter| {
                for number in 0..count {
                    cutter.append(format!("frame {number}").as_bytes())?;
                    cutter.cut()?;
                }
                Ok::<(), crate::archive::frames::Stopped>(())
            },
            |compressed, plain| {
                let (number, plain_bytes) = (frames.len(), usize::try_from(plain).unwrap());
                frames.push(Frame { number, plain_bytes, compressed: Some(compressed) });
                Ok(())
            },
        );
        produced.unwrap();
        emitted.unwrap();
        frames
    }

    fn send_all(frames: Vec<Frame>) -> impl FnOnce(&mut dyn FnMut(Frame) -> bool) -> usize + Send {
        move |send| frames.into_iter().map_while(|frame| send(frame).then_some(())).count()
    }

    #[test]
    fn frames_come_in_order_from_any_number_of_threads_even_none() {
        for threads in 0..5 {
            let mut seen = Vec::new();
            let (sent, passed) = decode::<_, ()>(
                threads,
                send_all(frames(40)),
                |_, _| {},
                |number, bytes| {
                    seen.push((number, String::from_utf8(bytes.unwrap().to_vec()).unwrap()));
                    Ok(())
                },
            );
            passed.unwrap();
            assert_eq!(sent, 40);
            assert_eq!(seen, (0..40).map(|n| (n, format!("frame {n}"))).collect::<Vec<_>>());
        }
    }

    #[test]
    fn stage_that_fails_ends_the_source() {
        for fails_at in [0, 1, 7, 39] {
            let (sent, passed) = decode(
                2,
                send_all(frames(40)),
                |_, _| {},
                |number, _| if number == fails_at { Err(number) } else { Ok(()) },
            );
            assert_eq!(passed, Err(fails_at));
            assert!(sent <= 40);
        }
    }

    #[test]
    fn frame_of_another_size_than_the_table_says_is_damaged() {
        let mut all = frames(3);
        all[1].plain_bytes -= 1;
        all[2].plain_bytes += 1;
        let mut whole = Vec::new();
        let (_, passed) = decode::<_, ()>(
            1,
            send_all(all),
            |_, _| {},
            |_, bytes| {
                whole.push(bytes.is_some());
                Ok(())
            },
        );
        passed.unwrap();
        assert_eq!(whole, [true, false, false]);
    }
}
