//! The read side of the control plane: which chunks answer a request.
