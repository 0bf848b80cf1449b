//! What becomes of a connection whose endpoint agreed to another protocol: its task, which knows HTTP alone, hands the
//! socket over.

use std::cell::RefCell;
use std::rc::Rc;

use hyper::client::conn::http1::{Connection, Parts};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::socket::EndpointSocket;
use crate::proxy::request::upload::RequestBody;

/// The socket, and what was read behind the end of HTTP.
pub(crate) type Left = Parts<TokioIo<EndpointSocket>>;

/// Between a connection and the task that drives it.
#[derive(Clone, Default)]
pub(crate) struct Switch {
    heir: Rc<RefCell<Option<oneshot::Sender<Left>>>>,
}

impl Switch {
    /// The next answer may be a 101: then the socket comes here.
    pub(crate) fn expect(&self) -> oneshot::Receiver<Left> {
        let (heir, left) = oneshot::channel();
        self.heir.replace(Some(heir));
        left
    }

    /// It was none.
    pub(crate) fn forget(&self) {
        self.heir.replace(None);
    }

    /// Drives a connection to its end.
    pub(crate) async fn drive(self, mut connection: Connection<TokioIo<EndpointSocket>, RequestBody>) {
        // Errors reach the request that is under way; when none is, there is nobody to tell.
        let ended = (&mut connection).await;
        let heir = self.heir.take();
        if let (Ok(()), Some(heir)) = (ended, heir) {
            // Whoever gave up on the answer has dropped its end: then the socket closes here.
            let _closed = heir.send(connection.into_parts());
        }
    }
}
