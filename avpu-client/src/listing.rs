//! Lists that come page by page.

use crate::client::Client;
use crate::error::ClientError;
use avpu_proto::record::Record;
use avpu_proto::reply::Listing;
use avpu_proto::request::Page;

type Fetch<T> = fn(&Client, Page) -> Result<Listing<T>, ClientError>;

/// Iterates over a list of the daemon's; asks for the next page when one is used up. Ends after an error.
#[derive(Debug)]
pub struct Pages<'a, T> {
    client: &'a Client,
    fetch: Fetch<T>,
    page: std::vec::IntoIter<Record<T>>,
    next: Option<u32>,
}

impl<'a, T> Pages<'a, T> {
    pub(crate) fn new(client: &'a Client, fetch: Fetch<T>) -> Self {
        Self {
            client,
            fetch,
            page: Vec::new().into_iter(),
            next: Some(0),
        }
    }

    /// Begins at this cursor.
    pub(crate) fn starting_at(self, cursor: u32) -> Self {
        Self {
            next: Some(cursor),
            ..self
        }
    }
}

impl<T> Iterator for Pages<'_, T> {
    type Item = Result<T, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(Record(entry)) = self.page.next() {
                return Some(Ok(entry));
            }
            let cursor = self.next.take()?;
            match (self.fetch)(self.client, Page { cursor }) {
                Ok(listing) => {
                    // A cursor that does not grow would make an endless list.
                    self.next = listing.next.filter(|next| *next > cursor);
                    self.page = listing.entries.into_iter();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
