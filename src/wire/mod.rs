//! Pure codecs of the Mosaico protocol: requests, answers and descriptors, one file per generation where they differ.
