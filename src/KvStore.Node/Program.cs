return await KvStore.Node.Hosting.NodeProgram.RunAsync(args);
