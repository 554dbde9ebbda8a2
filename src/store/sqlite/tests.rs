//! What only the inside can see: query plans, faults of the disk.
