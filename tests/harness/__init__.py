"""What every Python suite shares: the real daemon, a raw Flight client, schemas, recordings, waiting without sleeping."""
