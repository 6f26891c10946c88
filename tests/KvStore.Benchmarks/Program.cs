using BenchmarkDotNet.Running;

// dotnet run -c Release --project tests/KvStore.Benchmarks -- --filter '*'
BenchmarkSwitcher.FromAssembly(typeof(KvStore.Benchmarks.RaftRound).Assembly).Run(args);
