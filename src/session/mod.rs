//! The write side of the control plane: who may write what, and what became of it.
