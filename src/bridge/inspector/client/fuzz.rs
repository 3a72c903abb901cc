//! What a broken or hostile debugger could say to the inspector endpoint, and a worker's inspector to us.

use proptest::prelude::*;
use sst_fuzz::{Document, corpus, damaged, damaged_json, fuzz};
use tokio_util::sync::CancellationToken;

use super::*;

/// A client that has one worker, `w1`, in the session `s1`.
fn client() -> Client {
    let (events, _) = mpsc::unbounded_channel();
    let (inbox, _) = mpsc::unbounded_channel();
    let (to_worker, _) = mpsc::unbounded_channel();
    let offer = Offer {
        worker: WorkerId(1),
        title: "notes/List".to_owned(),
        url: "ws://127.0.0.1:9/x".to_owned(),
        adapter: None,
        machine: None,
        gone: CancellationToken::new(),
    };
    let child = Child {
        offer,
        to_worker,
        announced: true,
        scripts: Scripts::default(),
        ready: None,
        breakpoints: Breakpoints::default(),
        missing: None,
    };
    Client {
        name: String::new(),
        registry: Arc::new(Registry::new("/app".into(), events, crate::ui::Ui::channel().0)),
        subscription: None,
        node_worker: false,
        target: false,
        children: [("s1".to_owned(), child)].into(),
        inbox,
        out: Vec::new(),
    }
}

/// Each message comes from the worker or from the debugger.
fn hear(messages: &[(bool, Document)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let mut client = client();
    for (from_worker, bytes) in messages {
        let text = String::from_utf8_lossy(bytes);
        upstream::is_end(&text);
        if *from_worker {
            client.heard("s1", FromWorker::Text(text.as_ref().into()));
        } else {
            let before = client.out.len();
            client.request(&text);
            let asked = serde_json::from_str::<Value>(&text)
                .is_ok_and(|message| message.get("id").is_some() && message.get("sessionId").is_none());
            assert!(!asked || client.out.len() > before, "every request is answered");
        }
    }
    client.leave();
}

#[test]
fn damaged_messages_are_passed_over_or_answered() {
    let documents = corpus("cdp");
    let inputs = prop::collection::vec((any::<bool>(), damaged(documents)), 1..4);
    fuzz("CDP (bytes)", file!(), 600, &inputs, |messages| hear(&messages));
}

#[test]
fn messages_with_damaged_values_are_passed_over_or_answered() {
    let documents = corpus("cdp").iter().map(|document| serde_json::from_slice(document).unwrap()).collect();
    let inputs = prop::collection::vec((any::<bool>(), damaged_json(documents)), 1..4);
    fuzz("CDP (values)", file!(), 600, &inputs, |messages| hear(&messages));
}
