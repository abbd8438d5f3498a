//! From the configuration to a destination.

use super::{Destination, Error, bucket, faulty, folder, secret, share, throttle};
use crate::cancel::Cancel;
use crate::config;

/// Opens the destination that the configuration names. Nothing is asked of it yet: a folder that is not mounted or a
/// bucket that refuses us is an error of the first call.
///
/// Everything that waits (for a server that is away, for its share of the bandwidth) ends with
/// [`ErrorKind::Cancelled`](super::ErrorKind::Cancelled) when `cancel` is set; only the removal of what an upload left
/// does not.
///
/// # Errors
/// When a secret or a certificate cannot be read, or the settings make no sense, as an unknown option.
pub fn open(destination: &config::Destination, cancel: &Cancel) -> Result<Box<dyn Destination>, Error> {
    let opened: Box<dyn Destination> = match &destination.location {
        config::Location::Folder(path) => {
            let folder = Box::new(folder::Folder::new(&destination.name, path));
            match &destination.credentials {
                Some(credentials) => {
                    let password = secret(&credentials.password, folder.location())?;
                    Box::new(share::Share::new(folder, credentials, password, Box::new(share::System)))
                }
                None => folder,
            }
        }
        config::Location::Bucket(settings) => {
            Box::new(bucket::Bucket::open(&destination.name, settings, destination.retry_for, cancel)?)
        }
    };
    let opened = faulty::as_told(opened);
    Ok(match destination.bandwidth {
        Some(bytes_per_second) => Box::new(throttle::Throttled::new(opened, bytes_per_second, cancel)),
        None => opened,
    })
}
