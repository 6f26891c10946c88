using Xunit.Sdk;
using Xunit.v3;

// Clusters and processes share two cores: side by side they would only miss each other's deadlines.
[assembly: Parallelization(Mode = ParallelMode.None)]
