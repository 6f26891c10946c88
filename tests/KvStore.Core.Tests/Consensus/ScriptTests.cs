using System.Runtime.CompilerServices;
using FluentAssertions;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>Every file in Scripts is a scenario with its golden output. KV_REWRITE=1 writes what happens now into the files, for a diff to be read with care.</summary>
public sealed class ScriptTests
{
    public static TheoryData<string> Scripts => [.. Directory.GetFiles(Folder(), "*.txt").Select(path => Path.GetFileNameWithoutExtension(path)).Order()];

    [Theory]
    [MemberData(nameof(Scripts))]
    public void A_script_plays_as_it_is_written(string script)
    {
        string path = Path.Combine(Folder(), script + ".txt");
        string golden = File.ReadAllText(path);
        string played = RaftEnvironment.Play(golden);
        if (Environment.GetEnvironmentVariable("KV_REWRITE") == "1")
        {
            File.WriteAllText(path, played);
            return;
        }

        played.Should().Be(golden);
    }

    private static string Folder([CallerFilePath] string source = "") => Path.Combine(Path.GetDirectoryName(source)!, "Scripts");
}
