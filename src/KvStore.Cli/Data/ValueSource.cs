using System.CommandLine;
using System.Text;
using KvStore.Cli.Running;
using KvStore.Contracts;

namespace KvStore.Cli.Data;

/// <summary>Where a value comes from: the command line, standard input ("-"), or a file.</summary>
internal sealed class ValueSource
{
    public Argument<string?> Value { get; } = new("VALUE")
    {
        Description = $"The value, at most {KvLimits.MaxValueBytes:N0} bytes; '-' reads it from standard input, byte for byte. A value that begins with '-' goes behind '--'.",
        Arity = ArgumentArity.ZeroOrOne,
    };

    public Option<string?> File { get; } = new("--file", "-f") { Description = "Read the value from a file, byte for byte.", HelpName = "FILE" };

    /// <summary>Reads the value.</summary>
    /// <exception cref="CliFailure">None or two are given, it is too large, or the file can't be read.</exception>
    public async Task<ReadOnlyMemory<byte>> ReadAsync(CommandContext context)
    {
        var value = context.Value(Value);
        var file = context.Value(File);
        return (value, file) switch
        {
            (null, null) => throw CliFailure.Usage("No value is given; write it behind the key, or '-' to read standard input, or --file FILE."),
            (not null, not null) => throw CliFailure.Usage("A value and --file contradict each other; give one of them."),
            (null, not null) => await ReadFileAsync(file, context.Stop),
            ("-", null) => await ReadBoundedAsync(context.Terminal.In, context.Stop),
            _ => Bounded(Encoding.UTF8.GetBytes(value!)),
        };
    }

    private static async Task<ReadOnlyMemory<byte>> ReadFileAsync(string file, CancellationToken stop)
    {
        try
        {
            await using var stream = System.IO.File.OpenRead(file);
            return await ReadBoundedAsync(stream, stop);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new CliFailure(ExitCode.NoInput, $"{file} does not exist; check its name.");
        }
        catch (UnauthorizedAccessException)
        {
            throw new CliFailure(ExitCode.NoInput, $"{file} is a directory or may not be read by this user; name a readable file.");
        }
    }

    /// <summary>Reads no more than it takes to see that it is too much: standard input may be endless.</summary>
    private static async Task<ReadOnlyMemory<byte>> ReadBoundedAsync(Stream stream, CancellationToken stop)
    {
        var buffer = new byte[KvLimits.MaxValueBytes + 1];
        var read = await stream.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, stop);
        return read == buffer.Length
            ? throw CliFailure.Usage($"The value has more than {KvLimits.MaxValueBytes:N0} bytes, the most that a value can have; split it over several keys.")
            : buffer.AsMemory(0, read);
    }

    private static ReadOnlyMemory<byte> Bounded(byte[] value) => value.Length > KvLimits.MaxValueBytes
        ? throw CliFailure.Usage($"The value has {value.Length:N0} bytes; a value has at most {KvLimits.MaxValueBytes:N0}; split it over several keys.")
        : value;
}
