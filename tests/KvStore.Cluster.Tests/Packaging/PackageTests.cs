using System.Diagnostics;
using System.IO.Compression;
using System.Reflection;
using System.Xml.Linq;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Client;
using KvStore.Cluster.Tests.Docs;
using Xunit;

namespace KvStore.Cluster.Tests.Packaging;

/// <summary>What the README says of packages, from the build that these tests are part of: nothing is built again, and nothing is asked of a registry.</summary>
public sealed class PackageTests(ITestOutputHelper output) : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(3);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("kv-packages-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task The_tool_is_packed_installed_from_a_folder_and_runs()
    {
        await PackAsync("KvStore.Cli");
        string tools = Path.Combine(_folder.FullName, "tools");
        await RunAsync("dotnet", "tool", "install", "KvStore.Cli", "--tool-path", tools, "--source", _folder.FullName);

        string kv = Path.Combine(tools, OperatingSystem.IsWindows() ? "kv.exe" : "kv");
        string version = typeof(ExitCode).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;
        (await RunAsync(kv, "--version")).Trim().Should().Be(version);

        // The node is in it, with its native storage engine.
        (await RunAsync(kv, "node", "--help")).Should().Contain("--listen");
        Directory.EnumerateFiles(tools, "*rocksdb*", SearchOption.AllDirectories).Should().NotBeEmpty();
    }

    [Fact]
    public async Task The_client_is_packed_with_its_documentation_and_needs_neither_the_node_nor_a_server()
    {
        foreach (string library in (string[])["KvStore.Client", "KvStore.Client.Caching", "KvStore.Client.OutputCaching", "KvStore.Contracts"])
        {
            await PackAsync(library);
            string package = Directory.EnumerateFiles(_folder.FullName, $"{library}.*.nupkg").Single(file => char.IsAsciiDigit(Path.GetFileName(file)[library.Length + 1]));
            using ZipArchive archive = ZipFile.OpenRead(package);
            archive.Entries.Select(entry => entry.FullName).Should().Contain([$"lib/net10.0/{library}.dll", $"lib/net10.0/{library}.xml"]);

            using Stream manifest = archive.GetEntry($"{library}.nuspec")!.Open();
            XDocument document = await XDocument.LoadAsync(manifest, LoadOptions.None, TestContext.Current.CancellationToken);
            string[] needs = [.. document.Descendants().Where(element => element.Name.LocalName == "dependency").Select(element => element.Attribute("id")!.Value)];
            output.WriteLine($"{library} needs {string.Join(", ", needs)}");
            needs.Should().NotContain(["KvStore.Node", "KvStore.Core", "KvStore.Storage", "KvStore.TestKit"]);
            needs.Where(need => need.StartsWith("KvStore.", StringComparison.Ordinal)).Should().BeSubsetOf(["KvStore.Client", "KvStore.Contracts"]);
        }
    }

    private Task<string> PackAsync(string project)
    {
        string configuration = typeof(KvClient).Assembly.GetCustomAttribute<AssemblyConfigurationAttribute>()!.Configuration;
        return RunAsync("dotnet", "pack", Checkout.PathOf($"src/{project}"), "--configuration", configuration, "--no-build", "--output", _folder.FullName, "--nologo");
    }

    /// <summary>Runs a program and expects it to succeed.</summary>
    private async Task<string> RunAsync(string program, params string[] arguments)
    {
        long begun = Stopwatch.GetTimestamp();
        ProcessStartInfo start = new(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = _folder.FullName };

        // No process is left behind, nothing is asked and nothing is told.
        (start.Environment["MSBUILDDISABLENODEREUSE"], start.Environment["DOTNET_CLI_TELEMETRY_OPTOUT"], start.Environment["DOTNET_NOLOGO"]) = ("1", "1", "1");
        using Process process = Process.Start(start)!;
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        deadline.CancelAfter(Deadline);
        try
        {
            Task<string> said = process.StandardOutput.ReadToEndAsync(deadline.Token);
            Task<string> errors = process.StandardError.ReadToEndAsync(deadline.Token);
            await process.WaitForExitAsync(deadline.Token);
            output.WriteLine($"{program} {string.Join(' ', arguments.Take(2))}: {Stopwatch.GetElapsedTime(begun).TotalSeconds:0.0} s");
            process.ExitCode.Should().Be(0, await said + await errors);
            return await said;
        }
        finally
        {
            process.Kill(entireProcessTree: true);
        }
    }
}
