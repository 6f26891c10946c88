using KvStore.Simulator;

return SimulatorCommand.Run(args, Console.Out);
