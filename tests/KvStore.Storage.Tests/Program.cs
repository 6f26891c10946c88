using KvStore.Storage.Tests;
using Xunit.MicrosoftTestingPlatform;
using Xunit.Runner.InProc.SystemConsole;

// The test program runs itself once more as the process that is killed.
if (args is [KilledWriter.Argument, var directory, var seed])
{
    return KilledWriter.Run(directory, int.Parse(seed, System.Globalization.CultureInfo.InvariantCulture));
}

return args.Contains("--server") || args.Contains("--internal-msbuild-node")
    ? await TestPlatformTestFramework.RunAsync(args, SelfRegisteredExtensions.AddSelfRegisteredExtensions)
    : await ConsoleRunner.Run(args);
