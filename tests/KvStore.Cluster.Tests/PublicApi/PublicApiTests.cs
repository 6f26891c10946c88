using System.Reflection;
using FluentAssertions;
using KvStore.Cluster.Tests.Docs;
using PublicApiGenerator;
using Xunit;

namespace KvStore.Cluster.Tests.PublicApi;

/// <summary>
/// The shape of the libraries that applications build on, in a text file for each: types, signatures, nullability, default values. A change to it shows as a change to that file.
/// The wire types in KvStore.Contracts are generated; their checked shape is proto/.
/// </summary>
public sealed class PublicApiTests
{
    private const string Folder = "tests/KvStore.Cluster.Tests/PublicApi";

    /// <summary>Libraries whose public members are for each other, not for applications, and why.</summary>
    private static readonly Dictionary<string, string> NoFaces = new()
    {
        ["KvStore.Core"] = "what a node is made of",
        ["KvStore.Storage"] = "what a node is made of",
        ["KvStore.Node"] = "what a node is made of; TestKit and kv start it",
        ["KvStore.Contracts"] = "the wire, generated from proto/",
        ["KvStore.Cli"] = "a program; its face is its command line",
    };

    [Theory]
    [InlineData("KvStore.Client")]
    [InlineData("KvStore.Client.Caching")]
    [InlineData("KvStore.Client.OutputCaching")]
    [InlineData("KvStore.TestKit")]
    public async Task The_public_api_is_the_one_that_is_written_down(string library)
    {
        string approved = Checkout.PathOf($"{Folder}/{library}.txt");
        string received = Path.ChangeExtension(approved, ".received.txt");
        string shape = ShapeOf(Assembly.Load(library));
        string known = File.Exists(approved) ? await File.ReadAllTextAsync(approved, TestContext.Current.CancellationToken) : "";
        if (shape == known)
        {
            File.Delete(received);
            return;
        }

        await File.WriteAllTextAsync(received, shape, TestContext.Current.CancellationToken);
        Assert.Fail($"""
            The public API of {library} is not the one in {Path.GetRelativePath(Checkout.Root, approved)}. {FirstDifference(known, shape)}
            If that is meant, accept it and commit it with the change:
                mv {Path.GetRelativePath(Checkout.Root, received)} {Path.GetRelativePath(Checkout.Root, approved)}
            """);
    }

    [Fact]
    public void Every_library_has_its_shape_written_down_or_is_none_that_applications_build_on()
    {
        IEnumerable<string> written = Directory.EnumerateFiles(Checkout.PathOf(Folder), "*.txt").Where(file => !file.EndsWith(".received.txt", StringComparison.Ordinal)).Select(Path.GetFileNameWithoutExtension)!;
        IEnumerable<string> libraries = Directory.EnumerateFiles(Checkout.PathOf("src"), "*.csproj", SearchOption.AllDirectories).Select(Path.GetFileNameWithoutExtension)!;

        libraries.Should().BeEquivalentTo(written.Concat(NoFaces.Keys));
    }

    private static string ShapeOf(Assembly library) => library.GeneratePublicApi(new ApiGeneratorOptions
    {
        IncludeAssemblyAttributes = false,

        // Extension methods for hosts stand in a namespace of Microsoft's.
        DenyNamespacePrefixes = [],

        // What the compiler adds to async methods and iterators says nothing to callers.
        ExcludeAttributes = ["System.Runtime.CompilerServices.AsyncStateMachineAttribute", "System.Runtime.CompilerServices.AsyncIteratorStateMachineAttribute"],
    }).ReplaceLineEndings("\n").TrimEnd() + "\n";

    private static string FirstDifference(string known, string shape)
    {
        string[] was = known.Split('\n'), isNow = shape.Split('\n');
        int at = was.Zip(isNow).TakeWhile(pair => pair.First == pair.Second).Count();
        return $"They differ from line {at + 1} on: {Line(was, at)} became {Line(isNow, at)}.";
    }

    private static string Line(string[] lines, int at) => at < lines.Length && lines[at].Trim().Length > 0 ? $"'{lines[at].Trim()}'" : "nothing";
}
