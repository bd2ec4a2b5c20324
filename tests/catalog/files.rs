//! What a start asks: which sessions are open, and what their files are worth.

use tessera::catalog::ChunkFate;
use tessera::catalog::FileCursor;
use tessera::catalog::Standing;
use tessera::model::ChunkId;
use tessera::model::SessionHead;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::wait;

fn files(stage: &Stage, session: &SessionHead) -> (Vec<(ChunkId, ChunkFate)>, usize) {
    let (mut all, mut pages, mut next) = (Vec::new(), 0, Some(FileCursor::default()));
    while let Some(from) = next {
        let page = wait(stage.open().files(session.id, from)).unwrap();
        all.extend(page.files.iter().map(|file| (file.chunk, file.fate)));
        (next, pages) = (page.next, pages + 1);
    }
    (all, pages)
}

/// Goal: every page is bounded, and together they are the chunks of all topics, of one that is being received too.
pub fn files_come_in_pages(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let (session, other) = (stage.session("drive"), stage.session("drive"));
    let (sealed, exact, tail) = (stage.records(9000), stage.records(4096), stage.records(300));
    stage.written(&other, "other", stage.records(5));
    stage.written(&session, "sealed", sealed.clone());
    stage.written(&session, "exact", exact.clone());
    stage.written(&session, "empty", Vec::new());
    let receiving = stage.topic(&session, "receiving");
    wait(stage.open().begin_put(receiving.id, Vec::new())).unwrap();
    wait(stage.open().commit(receiving.id, tail.clone(), None)).unwrap();
    let wanted: Vec<_> =
        sealed.iter().chain(&exact).chain(&tail).map(|record| (record.chunk, ChunkFate::Kept)).collect();
    for _ in 0..2 {
        let (found, pages) = files(&stage, &session);
        assert!(found == wanted, "{} files, {} wanted", found.len(), wanted.len());
        assert!(pages >= 3, "{pages} pages");
        stage.reopen();
    }
}

pub fn files_of_a_deleted_topic_are_told_until_they_are_purged(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let (old, kept) = (stage.records(2), stage.records(3));
    let topic = stage.written(&session, "old", old.clone());
    stage.written(&session, "kept", kept.clone());
    wait(stage.catalog().delete_topic(topic.id)).unwrap();
    let kept = || kept.iter().map(|record| (record.chunk, ChunkFate::Kept));
    let purged = old.iter().map(|record| (record.chunk, ChunkFate::Purged));
    assert_eq!(files(&stage, &session).0, purged.chain(kept()).collect::<Vec<_>>());
    let [tombstone] = wait(stage.catalog().tombstones(0, 9)).unwrap().try_into().unwrap();
    wait(stage.catalog().purged(tombstone.number)).unwrap();
    assert_eq!(files(&stage, &session).0, kept().collect::<Vec<_>>());
}

pub fn a_session_stands_where_its_life_is(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let standing = || wait(stage.open().standing(session.id)).unwrap();
    assert_eq!(wait(stage.open().standing(stage.new_session("drive").id)), Ok(Standing::Unknown));
    assert_eq!(standing(), Standing::Open);
    stage.written(&session, "imu", stage.records(1));
    wait(stage.catalog().finalize(session.id, 500)).unwrap();
    assert_eq!(standing(), Standing::Final);
    wait(stage.catalog().delete_session(session.id)).unwrap();
    assert_eq!(standing(), Standing::Deleted);
    let [tombstone] = wait(stage.catalog().tombstones(0, 9)).unwrap().try_into().unwrap();
    wait(stage.catalog().purged(tombstone.number)).unwrap();
    assert_eq!(standing(), Standing::Unknown);
    assert_eq!(files(&stage, &session).0, []);
}

pub fn open_sessions_are_listed_page_by_page(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let sessions: Vec<_> = (0..9).map(|_| stage.session("drive")).collect();
    for (n, session) in sessions.iter().enumerate() {
        stage.written(session, &format!("a/{n}"), Vec::new());
        let gone = stage.written(session, &format!("b/{n}"), Vec::new());
        wait(stage.catalog().delete_topic(gone.id)).unwrap();
    }
    for n in [1, 2, 8] {
        wait(stage.catalog().finalize(sessions[n].id, 500)).unwrap();
    }
    wait(stage.catalog().delete_session(sessions[4].id)).unwrap();
    let wanted = [0, 3, 5, 6, 7].map(|n| (sessions[n].id, 1));
    let live: Vec<_> = [0, 1, 2, 3, 5, 6, 7, 8].map(|n| sessions[n].id).into();
    for _ in 0..2 {
        for limit in [1, 2, 100] {
            let (mut found, mut all, mut after, mut last) = (Vec::new(), Vec::new(), 0, 0);
            while let page = wait(stage.open().open_sessions(after, limit)).unwrap()
                && let Some(end) = page.last()
            {
                assert!(page.len() <= limit as usize && page.iter().all(|s| s.sequence == sessions[0].sequence));
                after = end.number;
                found.extend(page.iter().map(|session| (session.id, session.topics)));
            }
            while let page = wait(stage.open().sessions_after(last, limit)).unwrap()
                && let Some((end, _)) = page.last()
            {
                last = *end;
                all.extend(page.iter().map(|(_, id)| *id));
            }
            assert_eq!((found, all), (wanted.to_vec(), live.clone()), "pages of {limit}");
        }
        stage.reopen();
    }
}
