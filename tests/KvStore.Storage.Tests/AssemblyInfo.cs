using Xunit.Sdk;
using Xunit.v3;

// RocksDB's live owners are counted per process, and two cores are not worth the noise.
[assembly: Parallelization(Mode = ParallelMode.None)]
